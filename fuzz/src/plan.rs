//! The decoding of an input into operations.

use arbitrary::{Arbitrary, Result, Unstructured};

/// An operation: its code, and three choices.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Op {
    pub code: u8,
    pub a: u8,
    pub b: u8,
    pub c: u8,
}

impl Op {
    /// Reads operations until the input ends, and at most `most`.
    pub fn read_all(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        while ops.len() < most && u.len() >= 4 {
            ops.push(u.arbitrary()?);
        }
        Ok(ops)
    }
}

/// Returns the index that `choice` stands for among `len` items. Returns `None` if there are no
/// items.
pub fn choose(choice: u8, len: usize) -> Option<usize> {
    usize::from(choice).checked_rem(len)
}
