use async_rcu::RcuCell;

pub fn f(cell: &RcuCell<String>) -> usize {
    #[cfg(wrong)]
    let text = cell.with(|text| text); //~ lifetime may not live long enough
    #[cfg(not(wrong))]
    let text = cell.with(|text| text.clone());
    text.len()
}
