//! Lengths of messages: what is refused, and when.

use bytes::{BufMut, BytesMut};
use rarest_metainfo::Geometry;
use rarest_peer_wire::limits::{
    MAX_BITFIELD_LENGTH, MAX_BLOCK_LENGTH, MAX_EXTENDED_LENGTH, MAX_UNKNOWN_LENGTH,
};
use rarest_peer_wire::{Codec, DecodeError, Message};

/// Length and id of a message of `payload` bytes behind the id.
fn head(id: u8, payload: u32) -> BytesMut {
    let mut head = BytesMut::new();
    head.put_u32(payload + 1);
    head.put_u8(id);
    head
}

#[test]
fn messages_over_their_limit_are_refused_before_they_come() {
    for (id, longest) in [
        (5, MAX_BITFIELD_LENGTH),
        (7, 8 + MAX_BLOCK_LENGTH),
        (20, 1 + MAX_EXTENDED_LENGTH),
        (99, MAX_UNKNOWN_LENGTH),
    ] {
        assert_eq!(Codec::new().decode(&mut head(id, longest)), Ok(None));
        let error = Codec::new().decode(&mut head(id, longest + 1));
        assert!(matches!(error, Err(DecodeError::TooLong { limit, .. }) if limit == longest));
    }
    let error = Codec::new().decode(&mut head(22, 1 << 20));
    assert!(matches!(error, Err(DecodeError::TooLong { id: 22, .. })));
}

#[test]
fn fixed_lengths_are_exact() {
    let fixed = [
        (0u8, 0u32),
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 4),
        (6, 12),
        (8, 12),
    ];
    let fast = [(9, 2), (13, 4), (14, 0), (15, 0), (16, 12), (17, 4)];
    for (id, length) in fixed.into_iter().chain(fast).chain([(21, 48), (23, 48)]) {
        for wrong in [length.checked_sub(1), Some(length + 1)]
            .into_iter()
            .flatten()
        {
            let error = Codec::new().decode(&mut head(id, wrong));
            let expected = DecodeError::WrongLength {
                id,
                length: wrong,
                expected: length,
            };
            assert_eq!(error, Err(expected));
        }
    }
}

#[test]
fn the_bitfield_of_a_known_torrent_is_no_longer_than_its_pieces() {
    let mut codec = Codec::new();
    codec.set_geometry(&Geometry::contiguous(17, 1).unwrap());
    assert_eq!(codec.decode(&mut head(5, 3)), Ok(None));
    assert!(codec.decode(&mut head(5, 4)).is_err());
}

#[test]
fn an_unknown_message_is_skipped_as_it_comes() {
    let mut codec = Codec::new();
    let mut input = head(99, 100_000);
    for _ in 0..10 {
        assert_eq!(codec.decode(&mut input), Ok(None));
        // Nothing of it is kept.
        assert!(input.is_empty());
        input.put_bytes(0xaa, 10_000);
    }
    Message::Unchoke.encode(&mut input);
    assert_eq!(codec.decode(&mut input), Ok(Some(Message::Unchoke)));
}

#[test]
fn a_block_is_a_slice_of_the_input() {
    let message = Message::Piece {
        piece: 1,
        offset: 2,
        data: vec![3; 16_384].into(),
    };
    let mut input = BytesMut::new();
    message.encode(&mut input);
    let place = input[13..].as_ptr();
    match Codec::new().decode(&mut input) {
        Ok(Some(Message::Piece { data, .. })) => assert_eq!(data.as_ptr(), place),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_missing_part_of_a_message_is_known() {
    let mut codec = Codec::new();
    assert_eq!(codec.missing(&[]), 4);
    let mut input = head(7, 8 + 16_384);
    assert_eq!(codec.missing(&input), 8 + 16_384);
    input.put_bytes(0, 8 + 16_384);
    assert_eq!(codec.missing(&input), 0);
    let mut unknown = head(99, 1000);
    assert_eq!(codec.decode(&mut unknown), Ok(None));
    assert_eq!(codec.missing(&unknown), 1004);
}

#[test]
fn no_room_is_made_for_a_length_that_may_be_a_lie() {
    let codec = Codec::new();
    assert_eq!(codec.missing(&[0xff; 4]), 1);
    assert_eq!(codec.missing(&[0xff; 5]), 0);
    assert_eq!(codec.missing(&head(7, u32::MAX - 1)), 0);
    assert_eq!(codec.missing(&[0; 4]), 0);
}

#[cfg(feature = "codec")]
#[test]
fn the_codec_is_a_decoder_and_encoder_of_tokio_util() {
    use tokio_util::codec::{Decoder, Encoder};

    let mut codec = Codec::new();
    let mut buffer = BytesMut::new();
    Encoder::encode(&mut codec, Message::Have { piece: 3 }, &mut buffer).unwrap();
    Encoder::encode(&mut codec, &Message::Choke, &mut buffer).unwrap();
    let mut next = || Decoder::decode(&mut codec, &mut buffer).unwrap();
    assert_eq!(next(), Some(Message::Have { piece: 3 }));
    assert_eq!(next(), Some(Message::Choke));
    assert_eq!(next(), None);
    buffer.extend_from_slice(&[0, 0, 0, 2, 0]);
    let error = Decoder::decode(&mut codec, &mut buffer).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}
