//! `compress` and `uncompress`: the format of zlib (RFC 1950).

use crate::abi::Status;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use std::io::Read as _;

/// Compresses bytes. `InternalFailure` if more than `most` come out.
pub(super) fn compress(bytes: &[u8], most: usize) -> Result<Bytes, Status> {
    bounded(ZlibEncoder::new(bytes, Compression::default()), most)
}

/// The bytes that were compressed. `SerializationFailure` for what is not of this format or was cut
/// off, `InternalFailure` if more than `most` come out. What stands behind the end is passed over.
pub(super) fn uncompress(bytes: &[u8], most: usize) -> Result<Bytes, Status> {
    bounded(ZlibDecoder::new(bytes), most)
}

/// Everything that comes out, of which no more is made than may be.
fn bounded(from: impl std::io::Read, most: usize) -> Result<Bytes, Status> {
    let mut out = Vec::new();
    let mut from = from.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1));
    from.read_to_end(&mut out).map_err(|_broken| Status::SerializationFailure)?;
    if out.len() > most {
        return Err(Status::InternalFailure);
    }
    Ok(out.into())
}
