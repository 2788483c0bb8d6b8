//! A heap that counts, so that a hidden copy of the cache can't hide.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The system's allocator with a count of live bytes. Install it in a test binary:
///
/// ```
/// #[global_allocator]
/// static HEAP: kvr_policy::testkit::CountingHeap = kvr_policy::testkit::CountingHeap;
/// ```
///
/// The contract then compares what a policy reports with what is alive. The count is of the whole
/// process, so contracts are checked one at a time; other tests belong into another binary.
#[derive(Debug, Clone, Copy)]
pub struct CountingHeap;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Held while a contract is checked: a second one beside it would be counted too.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes alive in this process, where [`CountingHeap`] is installed.
pub(super) fn live() -> Option<isize> {
    INSTALLED.load(Ordering::Relaxed).then(|| LIVE.load(Ordering::SeqCst))
}

// SAFETY: every call goes to the system's allocator as it came; only counts are added.
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        INSTALLED.store(true, Ordering::Relaxed);
        LIVE.fetch_add(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as isize - layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}
