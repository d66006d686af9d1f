//! The store of the backends: one trait and three implementations.
//!
//! | | a request holds | a removed backend is closed by | the wait for the closes |
//! |---|---|---|---|
//! | [`rcu`] | a section of the domain | `call_async` | `drain` |
//! | [`arc_swap`], [`rw_lock`] | a reference to its backend | a task that the last reference's `Drop` spawns | a count of our own |

pub(crate) mod arc_swap;
mod counted;
pub(crate) mod rcu;
pub(crate) mod rw_lock;

use crate::backend::{Backend, BackendCounts};
use std::cell::Cell;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Deref;
use std::sync::Arc;

pub(crate) trait Store: Send + Sync + Sized + 'static {
    /// A backend that is not closed while this is held.
    type Held: Deref<Target = Backend> + Send + 'static;

    /// The name in the output.
    const NAME: &'static str;
    /// A sentence about the code of the close, which is printed below the figures.
    const CLOSING: &'static str;

    /// Makes an empty store. With `early_close` a backend is closed when it is removed, even if a
    /// request uses it.
    ///
    /// # Errors
    /// Returns the reason if the store cannot be made.
    fn new(counts: &Arc<BackendCounts>, early_close: bool) -> Result<Self, String>;

    /// Chooses a backend for one request.
    fn pick(&self) -> Option<Self::Held>;

    fn add(&self, backend: Backend);

    /// Removes the oldest backend, which is closed after the last request that may use it. Returns
    /// `false` if there is none.
    fn remove_oldest(&self) -> bool;

    /// Waits until all removed backends are closed.
    fn drain(&self) -> impl Future<Output = ()> + Send;
}

/// Returns the less busy of two random backends: nearly the best one, without a look at all of
/// them.
fn choose<B: Deref<Target = Backend>>(backends: &[B]) -> Option<&B> {
    match backends {
        [] => None,
        [only] => Some(only),
        _ => {
            let first = draw(backends.len());
            let second = (first + 1 + draw(backends.len() - 1)) % backends.len();
            let (first, second) = (&backends[first], &backends[second]);
            match first.in_use() <= second.in_use() {
                true => Some(first),
                false => Some(second),
            }
        }
    }
}

/// Returns a random number below `bound`, from this thread's generator (xorshift64*).
fn draw(bound: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish() | 1);
    }
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    let random = state.wrapping_mul(0x2545_F491_4F6C_DD1D);
    // The upper half of the product is below `bound`.
    ((u128::from(random) * bound as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chooses_the_less_busy_of_two() {
        let counts = Arc::new(BackendCounts::new());
        let none: [Arc<Backend>; 0] = [];
        assert!(choose(&none).is_none());
        let mut backends = vec![Arc::new(Backend::start(0, &counts).await.unwrap())];
        assert_eq!(choose(&backends).unwrap().id(), 0);
        backends.push(Arc::new(Backend::start(1, &counts).await.unwrap()));
        backends[0].begin_use();
        for _ in 0..100 {
            assert_eq!(choose(&backends).unwrap().id(), 1);
        }
    }

    #[test]
    fn draws_every_number_below_the_bound() {
        let mut drawn = [false; 7];
        for _ in 0..10_000 {
            drawn[draw(7)] = true;
        }
        assert_eq!(drawn, [true; 7]);
    }
}
