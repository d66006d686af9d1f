//! How the bytes of an input are read as operations.

use arbitrary::{Arbitrary, Result, Unstructured};

/// An operation: which one, and three choices.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Op {
    pub code: u8,
    pub a: u8,
    pub b: u8,
    pub c: u8,
}

impl Op {
    /// As many as the rest of the input holds, and `most` at the most.
    pub fn read_all(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        while ops.len() < most && u.len() >= 4 {
            ops.push(u.arbitrary()?);
        }
        Ok(ops)
    }
}
