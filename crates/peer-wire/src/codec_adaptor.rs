//! The codec as a `tokio_util::codec` decoder and encoder (feature `codec`).

use std::io;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::{Codec, DecodeError, Message};

impl From<DecodeError> for io::Error {
    fn from(error: DecodeError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl Decoder for Codec {
    type Item = Message;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Message>> {
        Ok(Self::decode(self, src)?)
    }
}

impl Encoder<Message> for Codec {
    type Error = io::Error;

    fn encode(&mut self, message: Message, dst: &mut BytesMut) -> io::Result<()> {
        message.encode(dst);
        Ok(())
    }
}

impl Encoder<&Message> for Codec {
    type Error = io::Error;

    fn encode(&mut self, message: &Message, dst: &mut BytesMut) -> io::Result<()> {
        message.encode(dst);
        Ok(())
    }
}
