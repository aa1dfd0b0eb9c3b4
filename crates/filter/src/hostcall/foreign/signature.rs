//! `sign` and `verify_signature`: RSA of PKCS #1 version 1.5, and ECDSA.

use crate::abi::Status;
use bytes::Bytes;
use prost::Message;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{self, EcdsaKeyPair, RsaEncoding, UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The arguments of `verify_signature`.
#[derive(Clone, PartialEq, Message)]
struct Verify {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
    #[prost(string, tag = "5")]
    public_key_pem: String,
}

/// What `verify_signature` gives.
#[derive(Clone, PartialEq, Message)]
struct Verified {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

/// The arguments of `sign`.
#[derive(Clone, PartialEq, Message)]
struct Sign {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    private_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    text: Vec<u8>,
    #[prost(string, tag = "4")]
    private_key_pem: String,
}

/// What `sign` gives.
#[derive(Clone, PartialEq, Message)]
struct Signed {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
    #[prost(string, tag = "3")]
    error: String,
}

/// Says whether a text was signed. `BadArgument` for what is no key, or for two.
pub(super) fn verify(arguments: &[u8]) -> Result<Bytes, Status> {
    let it = Verify::decode(arguments).map_err(|_broken| Status::BadArgument)?;
    let der = match (it.public_key_pem.is_empty(), it.public_key.is_empty()) {
        (true, false) => SubjectPublicKeyInfoDer::from(it.public_key),
        (false, true) => SubjectPublicKeyInfoDer::from_pem_slice(it.public_key_pem.as_bytes())
            .map_err(|_broken| Status::BadArgument)?,
        _ => return Err(Status::BadArgument),
    };
    let key = SubjectPublicKeyInfoRef::try_from(&der[..]).map_err(|_broken| Status::BadArgument)?;
    let bytes = key.subject_public_key.as_bytes().ok_or(Status::BadArgument)?;
    let curve = key.algorithm.parameters_oid().ok();
    let checked = match verifier(&it.hash_function, key.algorithm.oid, curve) {
        None => Err(format!("{} is not supported.", it.hash_function)),
        Some(how) => UnparsedPublicKey::new(how, bytes)
            .verify(&it.text, &it.signature)
            .map_err(|_unspecified| "Failed to verify digest.".to_owned()),
    };
    let verified = Verified { result: checked.is_ok(), error: checked.err().unwrap_or_default() };
    Ok(verified.encode_to_vec().into())
}

/// How signatures of this kind are looked at. As in Envoy, keys of 1024 bits still count where
/// the library knows them.
fn verifier(
    hash: &str,
    key: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let hash = hash.to_ascii_lowercase();
    Some(match (key, curve, hash.as_str()) {
        (RSA, _, "sha1") => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (RSA, _, "sha256") => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (RSA, _, "sha384") => &signature::RSA_PKCS1_2048_8192_SHA384,
        (RSA, _, "sha512") => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (EC, Some(P256), "sha256") => &signature::ECDSA_P256_SHA256_ASN1,
        (EC, Some(P256), "sha384") => &signature::ECDSA_P256_SHA384_ASN1,
        (EC, Some(P384), "sha256") => &signature::ECDSA_P384_SHA256_ASN1,
        (EC, Some(P384), "sha384") => &signature::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

/// Signs a text. `BadArgument` for what is no key, or for two.
pub(super) fn sign(arguments: &[u8]) -> Result<Bytes, Status> {
    let it = Sign::decode(arguments).map_err(|_broken| Status::BadArgument)?;
    let key = match (it.private_key_pem.is_empty(), it.private_key.is_empty()) {
        (true, false) => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(it.private_key)),
        (false, true) => PrivateKeyDer::from_pem_slice(it.private_key_pem.as_bytes())
            .map_err(|_broken| Status::BadArgument)?,
        _ => return Err(Status::BadArgument),
    };
    let rsa = match &key {
        PrivateKeyDer::Pkcs1(key) => rsa::KeyPair::from_der(key.secret_pkcs1_der()).ok(),
        PrivateKeyDer::Pkcs8(key) => rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
        _ => None,
    };
    let signed = match rsa {
        Some(key) => with_rsa(&key, &it.hash_function, &it.text),
        None => with_curve(&key, &it.hash_function, &it.text)?,
    };
    let unknown = || format!("{} is not supported.", it.hash_function);
    let signed = match signed {
        Some(signature) => Signed { result: true, signature, error: String::new() },
        None => Signed { result: false, signature: Vec::new(), error: unknown() },
    };
    Ok(signed.encode_to_vec().into())
}

/// `None`: not with this hash.
fn with_rsa(key: &rsa::KeyPair, hash: &str, text: &[u8]) -> Option<Vec<u8>> {
    let padding: &'static dyn RsaEncoding = match hash.to_ascii_lowercase().as_str() {
        "sha256" => &signature::RSA_PKCS1_SHA256,
        "sha384" => &signature::RSA_PKCS1_SHA384,
        "sha512" => &signature::RSA_PKCS1_SHA512,
        _ => return None,
    };
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), text, &mut signature).ok()?;
    Some(signature)
}

/// `None`: not with this hash.
fn with_curve(key: &PrivateKeyDer<'_>, hash: &str, text: &[u8]) -> Result<Option<Vec<u8>>, Status> {
    let PrivateKeyDer::Pkcs8(key) = key else { return Err(Status::BadArgument) };
    let random = SystemRandom::new();
    let kinds = [
        (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, "sha256"),
        (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, "sha384"),
    ];
    let found = kinds.iter().find_map(|(kind, with)| {
        Some((EcdsaKeyPair::from_pkcs8(kind, key.secret_pkcs8_der(), &random).ok()?, *with))
    });
    let (key, with) = found.ok_or(Status::BadArgument)?;
    if !hash.eq_ignore_ascii_case(with) {
        return Ok(None);
    }
    Ok(key.sign(&random, text).ok().map(|signature| signature.as_ref().to_vec()))
}
