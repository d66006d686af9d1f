use async_rcu::{RcuCell, Retired};

pub fn f(cell: RcuCell<String>) -> String {
    let retired: Retired<String> = cell.into_retired();
    #[cfg(wrong)]
    return *retired; //~ E0507
    #[cfg(not(wrong))]
    *retired.blocking_wait()
}
