//! Silence on stderr while a library prints there what users can do nothing about.

#[cfg(unix)]
mod silence {
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

    /// The process's stderr leads nowhere while this lives. Other threads are silent too.
    pub(crate) struct Quiet {
        /// Where stderr led before.
        before: Option<OwnedFd>,
    }

    impl Quiet {
        /// Begins; where stderr can't be redirected it stays as it is.
        pub(crate) fn begin() -> Self {
            let before = File::options().write(true).open("/dev/null").ok().and_then(|null| {
                let before = dup_of_stderr()?;
                redirect_stderr(null.as_raw_fd()).then_some(before)
            });
            Self { before }
        }
    }

    impl Drop for Quiet {
        fn drop(&mut self) {
            if let Some(before) = &self.before {
                redirect_stderr(before.as_raw_fd());
            }
        }
    }

    fn dup_of_stderr() -> Option<OwnedFd> {
        std::io::stderr().as_fd().try_clone_to_owned().ok()
    }

    /// Makes stderr lead to where `target` leads.
    fn redirect_stderr(target: RawFd) -> bool {
        // SAFETY: dup2 takes two descriptors and touches no memory; the caller holds `target` open,
        // and stderr is never closed.
        unsafe { libc::dup2(target, libc::STDERR_FILENO) != -1 }
    }
}

#[cfg(not(unix))]
mod silence {
    /// Does nothing: what is silenced prints on Unix alone.
    pub(crate) struct Quiet;

    impl Quiet {
        /// Begins.
        pub(crate) fn begin() -> Self {
            Self
        }
    }
}

pub(crate) use self::silence::Quiet;
