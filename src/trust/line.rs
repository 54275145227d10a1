//! How what is said in a connection's streams ends the connection itself.
//!
//! Out: a handle that is shared by the connection and its peer. It carries one word, once: that the
//! connection is of no more use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// One connection, as its streams know it.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    hung_up: AtomicBool,
    /// The task that reads from the connection.
    reader: AtomicWaker,
}

impl Line {
    /// Says that the connection is to be closed once its last words are out.
    pub fn hang_up(&self) {
        self.0.hung_up.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    /// Ready when the connection is to be closed. Only one task may wait for it: the one that reads.
    pub fn poll_hung_up(&self, context: &mut Context<'_>) -> Poll<()> {
        // In this order, or a word between the two would be missed.
        self.0.reader.register(context.waker());
        match self.0.hung_up.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
