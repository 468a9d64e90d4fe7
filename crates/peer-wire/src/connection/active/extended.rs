//! The extension protocol: whose numbers mean what, and which payloads the connection answers itself.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use super::Active;
use crate::connection::outward::Outward;
use crate::connection::{Event, ProtocolViolation, Role};
use crate::extension::{Extension, ExtensionHandshake, donthave};
use crate::handshake::Reserved;
use crate::message::Message;

impl Active {
    pub(super) fn handle_extended(
        &mut self,
        now: Instant,
        id: u8,
        payload: Bytes,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        if !self.speaks_extensions() {
            return Err(ProtocolViolation::ExtensionProtocolNotNegotiated);
        }
        if id == 0 {
            let handshake = ExtensionHandshake::decode(&payload)?;
            for (extension, remote_id) in Extension::ALL.into_iter().zip(&mut self.remote_ids) {
                *remote_id = handshake.id(extension).unwrap_or(*remote_id);
            }
            if let Some(limit) = handshake.request_queue {
                self.requests.set_peer_limit(limit);
            }
            out.event(Event::ExtensionHandshake(Box::new(handshake)));
            return Ok(());
        }
        match self.extensions.by_local_id(id) {
            Some(Extension::DontHave) => {
                let piece = donthave::decode(&payload)?;
                self.handle_dont_have(now, piece, out)?;
            }
            Some(extension) => out.event(Event::Extended { extension, payload }),
            // A number that we gave to nothing.
            None => {}
        }
        Ok(())
    }

    pub(super) fn handle_dont_have(
        &mut self,
        now: Instant,
        piece: u32,
        out: &mut Outward,
    ) -> Result<(), ProtocolViolation> {
        let lost = self.remote_pieces.remove(piece, self.geometry.as_deref())?;
        if let Some(piece) = lost {
            out.event(Event::DontHave(piece));
            // While it had all, it may not have heard of every piece of ours.
            if self.told.as_ref().is_some_and(|told| told.contains(piece)) {
                out.send(now, &Message::Have { piece: piece.get() });
            }
        }
        Ok(())
    }

    pub(super) fn tell_role(&self, now: Instant, role: Role, out: &mut Outward) {
        if self.speaks_extensions() {
            let handshake = ExtensionHandshake {
                upload_only: Some(role == Role::UploadOnly),
                ..ExtensionHandshake::default()
            };
            self.send_extension_handshake(now, &handshake, out);
        }
    }

    /// Sends a message of an extension under the number that the peer chose, if it chose one.
    pub(super) fn send_extended(
        &self,
        now: Instant,
        extension: Extension,
        payload: &Bytes,
        out: &mut Outward,
    ) {
        let known = Extension::ALL.into_iter().zip(self.remote_ids);
        let ids = known.filter(|&(each, id)| each == extension && id != 0);
        for (_, id) in ids {
            let payload = payload.clone();
            out.send(now, &Message::Extended { id, payload });
        }
    }

    pub(super) fn speaks_extensions(&self) -> bool {
        self.remote.reserved.has(Reserved::EXTENSION_PROTOCOL)
    }

    pub(super) fn extension_handshake(
        &self,
        remote_ip: IpAddr,
        metadata_size: Option<u32>,
        role: Role,
    ) -> ExtensionHandshake {
        ExtensionHandshake {
            ids: self
                .extensions
                .iter()
                .map(|extension| (extension.name().to_owned(), extension.local_id()))
                .collect(),
            client: self.config.client.clone(),
            listen_port: self.config.listen_port,
            request_queue: u32::try_from(self.uploads.limit()).ok(),
            your_ip: Some(remote_ip),
            metadata_size,
            upload_only: (role == Role::UploadOnly).then_some(true),
            ..ExtensionHandshake::default()
        }
    }

    pub(super) fn send_extension_handshake(
        &self,
        now: Instant,
        handshake: &ExtensionHandshake,
        out: &mut Outward,
    ) {
        let payload = handshake.encode().into();
        out.send(now, &Message::Extended { id: 0, payload });
    }
}
