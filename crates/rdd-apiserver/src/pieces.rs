//! Long texts, made piece by piece at the pace of who reads them.
//!
//! Work on a runtime thread stands in the way of every other request, so no step here does more than
//! a piece of it, and between two pieces others have their turn. What is slow to print goes to the
//! threads for blocking work, a few at a time. Nothing here knows what the text says.

use std::convert::Infallible;
use std::sync::Arc;

use async_compression::Level;
use async_compression::tokio::write::GzipEncoder;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

/// How long a piece should be, in bytes. Some are longer by what does not come apart.
pub(crate) const PIECE: usize = 64 * 1024;
/// How many texts are printed on threads for blocking work at a time.
const PRINTERS: usize = 2;

/// The right to print on a thread for blocking work. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Printers(Arc<Semaphore>);

impl Default for Printers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PRINTERS)))
    }
}

impl Printers {
    /// Does slow work where it stands in nobody's way.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = self.0.clone().acquire_owned().await.expect("nobody closes the semaphore");
        // The work keeps the permit, as it goes on if the request is given up.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match done.await {
            Ok(made) => made,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

type Source = Box<dyn Iterator<Item = Bytes> + Send>;

/// A text in pieces. Only the next piece is ever in memory.
pub(crate) struct Pieces {
    source: Option<Source>,
    /// Where to make pieces that take long; `None` makes them right here.
    printers: Option<Printers>,
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pieces")
    }
}

impl Pieces {
    /// Makes the pieces where they are asked for.
    pub(crate) fn quick(source: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Self { source: Some(Box::new(source)), printers: None }
    }

    /// Makes the pieces on threads for blocking work.
    pub(crate) fn slow(source: impl Iterator<Item = Bytes> + Send + 'static, printers: Printers) -> Self {
        Self { printers: Some(printers), ..Self::quick(source) }
    }

    /// Cuts up a text that is there.
    pub(crate) fn of(mut text: Bytes) -> Self {
        Self::quick(std::iter::from_fn(move || (!text.is_empty()).then(|| text.split_to(PIECE.min(text.len())))))
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut source = self.source.take()?;
        let (piece, source) = match &self.printers {
            None => (source.next(), source),
            Some(printers) => printers.run(move || (source.next(), source)).await,
        };
        if piece.is_some() {
            self.source = Some(source);
        }
        piece
    }

    /// Returns the whole text if it is shorter than `limit`, else the same pieces again.
    pub(crate) async fn whole_below(mut self, limit: usize) -> Result<Bytes, Self> {
        let mut first = BytesMut::new();
        while let Some(piece) = self.next().await {
            first.extend_from_slice(&piece);
            if first.len() >= limit {
                let rest = self.source.into_iter().flatten();
                let source: Source = Box::new(std::iter::once(first.freeze()).chain(rest));
                return Err(Self { source: Some(source), printers: self.printers });
            }
        }
        Ok(first.freeze())
    }

    /// Returns the text as a body, which makes a piece when the client has room for it.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(futures::stream::unfold(self, |mut pieces| async move {
            let piece = pieces.next().await?;
            tokio::task::yield_now().await;
            Some((Ok::<_, Infallible>(piece), pieces))
        }))
    }

    /// As [`Pieces::into_body`], compressed.
    pub(crate) fn into_gzip_body(self) -> Body {
        Body::from_stream(gzip(self))
    }
}

/// Compresses piece by piece. Level 1 is upstream's choice.
fn gzip(pieces: Pieces) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let encoder = GzipEncoder::with_quality(Vec::new(), Level::Fastest);
    futures::stream::unfold(Some((pieces, encoder)), |state| async move {
        let (mut pieces, mut encoder) = state?;
        loop {
            let Some(piece) = pieces.next().await else {
                encoder.shutdown().await.expect("memory takes everything");
                return Some((Ok(encoder.into_inner().into()), None));
            };
            encoder.write_all(&piece).await.expect("memory takes everything");
            tokio::task::yield_now().await;
            let out = std::mem::take(encoder.get_mut());
            // What compresses well comes out later; an empty chunk would tell clients nothing.
            if !out.is_empty() {
                return Some((Ok(out.into()), Some((pieces, encoder))));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::BodyExt;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn text() -> Bytes {
        (0..40_000u32).flat_map(|i| format!("{i} ").into_bytes()).collect()
    }

    async fn collect(body: Body) -> Bytes {
        body.collect().await.expect("no error").to_bytes()
    }

    #[tokio::test]
    async fn short_texts_are_whole_and_long_ones_lose_nothing() {
        assert_eq!(Pieces::of(Bytes::new()).whole_below(1).await.ok(), Some(Bytes::new()));
        assert_eq!(Pieces::of(text()).whole_below(usize::MAX).await.ok(), Some(text()));
        let long = Pieces::of(text()).whole_below(PIECE + 1).await.expect_err("long");
        assert_eq!(collect(long.into_body()).await, text());
        let slow = Pieces::slow([Bytes::from("a"), Bytes::from("b")].into_iter(), Printers::default());
        assert_eq!(collect(slow.into_body()).await, "ab");
    }

    #[tokio::test]
    async fn what_is_compressed_comes_back_and_in_chunks() {
        let chunks: Vec<Bytes> = gzip(Pieces::of(text())).map(|chunk| chunk.expect("no error")).collect().await;
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| !chunk.is_empty()), "{}", chunks.len());
        let all = chunks.concat();
        let mut back = Vec::new();
        let mut decoder = async_compression::tokio::bufread::GzipDecoder::new(all.as_slice());
        decoder.read_to_end(&mut back).await.expect("gzip");
        assert_eq!(Bytes::from(back), text());
    }

    #[tokio::test]
    async fn others_have_their_turn_between_pieces() {
        for compressed in [false, true] {
            let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = turns.clone();
            let other = tokio::spawn(async move {
                loop {
                    counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
            let pieces = Pieces::of(text());
            collect(if compressed { pieces.into_gzip_body() } else { pieces.into_body() }).await;
            other.abort();
            assert!(turns.load(std::sync::atomic::Ordering::Relaxed) >= text().len() / PIECE);
        }
    }
}
