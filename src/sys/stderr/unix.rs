//! Unix: straight to the system. std has a lock there, and a thread that a fork left behind may hold it for ever.

pub(super) fn write(mut line: &[u8]) {
    while !line.is_empty() {
        // SAFETY: the bytes of a slice.
        let written = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(written) => line = &line[written..],
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {
            }
            Err(_) => return,
        }
    }
}
