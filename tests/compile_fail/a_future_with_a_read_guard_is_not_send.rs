use async_rcu::Rcu;

// The bounds of `tokio::spawn`.
fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(_: F) {}

pub fn f(rcu: Rcu) {
    let future = async move {
        #[cfg(wrong)]
        let _guard = rcu.read();
        #[cfg(not(wrong))]
        let _guard = rcu.read_owned();
        std::future::ready(()).await;
    };
    spawn(future); //~ future cannot be sent between threads safely
}
