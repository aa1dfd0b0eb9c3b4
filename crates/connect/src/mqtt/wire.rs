//! Packets in bytes, as they come from a server.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{Packet, check};

/// The most bytes of a packet that is taken.
pub(super) const LARGEST: u32 = 64 << 20;

/// What came.
#[derive(Debug)]
pub(super) enum Came {
    /// A packet.
    Packet(Box<Packet>),
    /// The server ends the connection, for the reason with this number.
    End(u8),
    /// Not all of it yet: this many bytes more at least.
    Part(usize),
}

/// The next packet of what came.
///
/// # Errors
/// Where it is none of MQTT 5.
pub(super) fn read(bytes: &mut BytesMut) -> Result<Came, Error> {
    let header = match check(bytes.iter(), Some(LARGEST)) {
        Ok(header) => header,
        Err(Error::InsufficientBytes(more)) => return Ok(Came::Part(more)),
        Err(error) => return Err(error),
    };
    // Servers leave out what has its usual value, also where the library wants it.
    if bytes.first().is_some_and(|first| first >> 4 == 14) {
        let packet = bytes.split_to(header.frame_length());
        let is_length = |byte: &&u8| **byte & 0x80 != 0;
        let lengths = packet.iter().skip(1).take_while(is_length).count() + 1;
        return Ok(Came::End(packet.get(1 + lengths).copied().unwrap_or_default()));
    }
    Ok(Came::Packet(Box::new(Packet::read(bytes, Some(LARGEST))?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn came(bytes: &[u8]) -> Result<Came, Error> {
        read(&mut BytesMut::from(bytes))
    }

    #[test]
    fn packets_are_read_one_after_the_other() {
        let mut bytes = BytesMut::from(&[0x40, 2, 0, 7, 0xd0, 0, 0x40][..]);
        let mut packet = || match read(&mut bytes) {
            Ok(Came::Packet(packet)) => *packet,
            other => panic!("{other:?}"),
        };
        assert!(matches!(packet(), Packet::PubAck(ack) if ack.pkid == 7));
        assert!(matches!(packet(), Packet::PingResp(_)));
        assert!(matches!(read(&mut bytes), Ok(Came::Part(_))));
    }

    #[test]
    fn the_end_of_a_connection_has_a_reason() {
        assert!(matches!(came(&[0xe0, 0]), Ok(Came::End(0))));
        assert!(matches!(came(&[0xe0, 1, 0x8e]), Ok(Came::End(0x8e))));
        assert!(matches!(came(&[0xe0, 2, 0x8b, 0]), Ok(Came::End(0x8b))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(came(&bytes));
        }

        /// What looks like a packet of each kind as well.
        #[test]
        fn no_packet_panics(kind in 0_u8..16, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let length = u8::try_from(bytes.len()).unwrap();
            drop(came(&[&[kind << 4 | 2, length], bytes.as_slice()].concat()));
        }
    }
}
