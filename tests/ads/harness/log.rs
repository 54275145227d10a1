//! What a server logs, for tests whose outcome is what somebody reads there.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The warnings of this thread from its start until it is dropped. A test that asks for it runs its
/// server on its own thread, as `tokio::test` does unless it is told otherwise.
pub(crate) struct Log {
    text: Text,
    _here: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> Self {
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(text.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .finish();
        let _here = tracing::subscriber::set_default(subscriber);
        Self { text, _here }
    }

    /// The lines that hold these words.
    pub(crate) fn lines(&self, words: &str) -> Vec<String> {
        let text = self.text.0.lock().unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        let lines = text.lines().filter(|line| line.contains(words));
        lines.map(str::to_owned).collect()
    }
}

impl MakeWriter<'_> for Text {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
