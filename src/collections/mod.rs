//! Collections under RCU: a hash map, a list, an array, and a pointer to build others from.
//!
//! Readers take no lock and write nothing. Writers of a list or an array take turns; writers of a
//! map lock one bucket. Each element has an allocation of its own, is never moved while readers may
//! see it, and is dropped after a grace period.

// The list is built on `chain`, and the array on `spine` and `patch`: these have the orderings and
// loom models.

/// Implements the traits that a list and an array share, by their `new`, `append` and `iter`.
#[cfg(not(rcu_loom))]
macro_rules! sequence_traits {
    ($name:ident) => {
        impl<T: Send + Sync + 'static> Default for $name<T> {
            /// Makes an empty one in the [global domain](Rcu::global).
            fn default() -> Self {
                Self::new()
            }
        }

        impl<T: Send + Sync + 'static> FromIterator<T> for $name<T> {
            /// Makes one in the [global domain](Rcu::global).
            fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
                let made = Self::new();
                made.append(values);
                made
            }
        }

        impl<T: Send + Sync + 'static> Extend<T> for $name<T> {
            /// Calls [`append`](Self::append).
            #[track_caller]
            fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
                self.append(values);
            }
        }

        impl<T: Send + Sync + 'static> Extend<T> for &$name<T> {
            /// Calls `append`.
            #[track_caller]
            fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
                self.append(values);
            }
        }

        impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for $name<T> {
            /// Reads the elements in a section of its own.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let guard = self.rcu().read();
                f.debug_list().entries(self.iter(&guard)).finish()
            }
        }
    };
}
#[cfg(not(rcu_loom))]
use sequence_traits;

pub(crate) mod chain;
mod drop_all;
#[cfg(not(rcu_loom))]
mod list;
pub(crate) mod map;
mod patch;
mod ptr;
mod shown;
pub(crate) mod spine;
#[cfg(not(rcu_loom))]
mod vec;
#[cfg(not(rcu_loom))]
mod writers;

#[cfg(not(rcu_loom))]
pub use list::{ListIter, ListWriter, RcuList};
#[cfg(not(rcu_loom))]
pub use map::{MapIter, MapKeys, MapValues, RcuMap};
pub use ptr::{CompareExchangeError, RcuPtr};
#[cfg(not(rcu_loom))]
pub use vec::{RcuVec, VecIter, VecView, VecWriter};
