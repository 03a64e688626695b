//! Signals that ask us to end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use shared::exit::Status;
use shared::failure::Failure;

/// The signal that asked us to end; 0 for none.
pub(crate) fn asked_to_end() -> &'static Arc<AtomicUsize> {
    static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
    SIGNAL.get_or_init(|| {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            // Without the handler the signal ends us at once, and the next run ends what is left.
            let _ = signal_hook::flag::register_usize(number, signal.clone(), number as usize);
        }
        signal
    })
}

/// Fails if a signal has asked us to end.
pub(crate) fn refuse_if_interrupted() -> Result<(), Failure> {
    match asked_to_end().load(Ordering::Relaxed) {
        0 => Ok(()),
        number => {
            let interrupted = number == signal_hook::consts::SIGINT as usize;
            let status = if interrupted { Status::Interrupted } else { Status::Terminated };
            Err(Failure::ended(
                status,
                "interrupted; the checks that still ran were ended, and nothing of them is noted",
            ))
        }
    }
}
