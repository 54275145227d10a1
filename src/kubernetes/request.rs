//! One request to the API server, and what may become of it.

use std::time::Duration;

use kube::core::Status;
use tokio::time::timeout;

use crate::causes::in_words;

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the API server gave no sign for {:.1} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("the API server answers {}: {}", .0.code, .0.message)]
    Refused(Box<Status>),
    #[error("the API server gives an answer that cannot be read: {0}")]
    Illegible(String),
}

impl RequestError {
    /// The server's refusal by its HTTP status code.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            _ => None,
        }
    }

    /// An answer that is no such JSON. Names the place only: the text may be a Secret's.
    pub fn illegible(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self::Illegible(format!("line {line}, column {column} is no such JSON"))
    }
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            kube::Error::SerdeError(error) => Self::illegible(&error),
            kube::Error::Service(cause) => Self::Unreachable(in_words(&*cause)),
            error => Self::Unreachable(in_words(&error)),
        }
    }
}

/// Whether the server says for certain that it has no object called `name`. A server that is still
/// starting answers 404 to paths that it will have, but not in these words.
pub fn is_absence(status: &Status, name: &str) -> bool {
    let named = status.details.as_ref().map(|details| details.name.as_str());
    status.code == 404 && status.reason == "NotFound" && named == Some(name)
}

/// What `request` comes to, if it does within `bound`.
///
/// # Errors
///
/// When no answer comes in time, or none that can be used.
pub async fn within<T>(
    bound: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    match timeout(bound, request).await {
        Ok(answer) => answer.map_err(RequestError::from),
        Err(_) => Err(RequestError::Silent(bound)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_once_and_as_the_server_says_it() {
        let mut status = Status::failure("secrets \"a\" is forbidden", "Forbidden");
        status.code = 403;
        let error = RequestError::from(kube::Error::Api(status.boxed()));
        assert_eq!(error.code(), Some(403));
        assert_eq!(
            in_words(&error),
            "the API server answers 403: secrets \"a\" is forbidden"
        );
    }

    #[test]
    fn what_is_in_an_answer_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"key\"").unwrap_err();
        let error = RequestError::from(kube::Error::SerdeError(error)).to_string();
        assert!(
            error.contains("line 1") && !error.contains("key"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        let never = std::future::pending::<kube::Result<()>>();
        let bound = Duration::from_millis(20);
        let error = within(bound, never).await.unwrap_err();
        assert!(matches!(error, RequestError::Silent(waited) if waited == bound));
    }
}
