//! Reading the body of an answer within a bound of size, whatever the peer announces.

use reqwest::Response;

/// Why an answer was not read whole.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is longer than the reader takes, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It broke off, or came too slowly for the client's deadline.
    #[error("the answer broke off: {0}")]
    Broken(#[from] reqwest::Error),
}

/// Reads the whole body of an answer of at most `limit` bytes. What is longer is dropped as soon as that is known.
///
/// # Errors
/// [`AnswerError::TooLong`] by the announced or by the real length; [`AnswerError::Broken`] when the connection fails.
pub async fn read(mut answer: Response, limit: usize) -> Result<Vec<u8>, AnswerError> {
    if answer.content_length().is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(AnswerError::TooLong(limit));
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await? {
        if bytes.len().saturating_add(part.len()) > limit {
            return Err(AnswerError::TooLong(limit));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
