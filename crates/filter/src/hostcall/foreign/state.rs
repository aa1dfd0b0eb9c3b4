//! `declare_property` and `set_envoy_filter_state`: what filters leave with a stream.

use crate::abi::Status;
use crate::state::State;
use bytes::Bytes;
use prost::Message;

/// How many properties filters of a virtual machine may declare, and how long their names may be.
const MOST: usize = 256;
const LONGEST: usize = 256;

/// How long a value stays: with the connection.
const CONNECTION: i32 = 2;

/// Of the types that a value may have: text.
const STRING: i32 = 1;

/// The arguments of `declare_property`. A schema is for readers of structures, and there is none.
#[derive(Clone, PartialEq, Message)]
struct Declare {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    readonly: bool,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(int32, tag = "5")]
    span: i32,
}

/// The arguments of `set_envoy_filter_state`.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(int32, tag = "3")]
    span: i32,
}

/// What a filter has said of a property that it sets.
pub(crate) struct Declared {
    /// It is set once for a stream.
    pub(crate) readonly: bool,
    /// Expressions see text, and not bytes.
    pub(crate) is_text: bool,
}

/// `declare_property`: `BadArgument` for a name that was declared before, and for what would stay
/// with the connection; `InternalFailure` if there are too many.
pub(super) fn declare(state: &mut State, arguments: &[u8]) -> Result<Bytes, Status> {
    let it = Declare::decode(arguments).map_err(|_broken| Status::BadArgument)?;
    let key = (state.root(), Bytes::from(it.name));
    if it.span == CONNECTION || key.1.is_empty() || state.declared.contains_key(&key) {
        return Err(Status::BadArgument);
    }
    if state.declared.len() >= MOST || key.1.len() > LONGEST {
        return Err(Status::InternalFailure);
    }
    let declared = Declared { readonly: it.readonly, is_text: it.kind == STRING };
    state.declared.insert(key, declared);
    Ok(Bytes::new())
}

/// `set_envoy_filter_state`: kept with the stream, where `filter_state` and the path find it.
/// `NotFound` without a stream, `BadArgument` for what would stay with the connection.
pub(super) fn set(state: &mut State, arguments: &[u8]) -> Result<Bytes, Status> {
    let it = Set::decode(arguments).map_err(|_broken| Status::BadArgument)?;
    if it.span == CONNECTION || it.path.is_empty() {
        return Err(Status::BadArgument);
    }
    let stream = state.here.as_deref_mut().ok_or(Status::NotFound)?;
    let path = [b"filter_state\0", it.path.as_bytes()].concat();
    match stream.set_property(path.into(), it.value.into()) {
        true => Ok(Bytes::new()),
        false => Err(Status::InternalFailure),
    }
}
