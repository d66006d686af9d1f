use async_rcu::RcuList;

pub fn f(list: &'static RcuList<u32>) {
    #[cfg(wrong)]
    let writer = list.write();
    std::thread::spawn(move || { //~ E0277
        #[cfg(not(wrong))]
        let writer = list.write();
        drop(writer);
    });
}
