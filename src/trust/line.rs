//! How a connection and the streams on it end together.
//!
//! Out: a handle that is shared by the connection and its peer. It carries three words: that the
//! server lets the connection go, that it is to be among the last which are let go, and that it is
//! of no more use.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::sync::watch;

/// One connection, as its streams know it.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_left: watch::Sender<bool>,
    is_last: AtomicBool,
    hung_up: AtomicBool,
    /// The task that reads from the connection.
    reader: AtomicWaker,
}

impl Line {
    /// Says that the server goes away: each stream is to end, and the connection with the last.
    pub fn leave(&self) {
        self.0.is_left.send_replace(true);
    }

    /// Resolves when the server goes away.
    pub fn left(&self) -> impl Future<Output = ()> + Send + use<> {
        let line = self.clone();
        async move {
            let mut is_left = line.0.is_left.subscribe();
            let left = is_left.wait_for(|is_left| *is_left).await;
            left.expect("the line outlives those who wait for it");
        }
    }

    /// Asks to be let go after those who do not ask for it.
    pub fn go_last(&self) {
        self.0.is_last.store(true, Ordering::Release);
    }

    /// Whether the connection is to be among the last.
    pub fn is_last(&self) -> bool {
        self.0.is_last.load(Ordering::Acquire)
    }

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
