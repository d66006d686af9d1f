use async_rcu::RcuCell;

pub fn f(cell: &'static RcuCell<u32>) {
    #[cfg(wrong)]
    let value = cell.read();
    #[cfg(not(wrong))]
    let value = cell.read_owned();
    std::thread::spawn(move || drop(value)); //~ E0277
}
