//! The signals of a supervisor: its children's ends, and requests to stop.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

/// What arrived since it was last asked.
#[derive(Debug)]
pub(crate) struct Signals {
    wake: UnixStream,
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Signals> {
        let (wake, end) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            // The flag first: whoever is woken finds it set.
            flag::register(signal, Arc::clone(&stop))?;
            low_level::pipe::register(signal, end.try_clone()?)?;
        }
        low_level::pipe::register(SIGCHLD, end)?;
        // A limit on the size of files makes a write fail, not the supervisor.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(Signals { wake, stop })
    }

    /// Returns what becomes readable when a signal arrives.
    pub(crate) fn wake(&self) -> &UnixStream {
        &self.wake
    }

    /// Says whether somebody asked for the end since the last call.
    pub(crate) fn take_stop(&mut self) -> bool {
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(n) if n > 0) {}
        self.stop.swap(false, Ordering::SeqCst)
    }
}
