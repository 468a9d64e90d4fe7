//! Hybrid torrents: the v1 list and the v2 tree side by side, which must describe the same files (BEP 52, "upgrade path").

use rarest_bencode::ValueRef;

use super::files_v1::{FileV1, SpaceV1};
use super::tree_v2::FileV2;
use super::{Layout, Reader};
use crate::error::HybridMismatch;
use crate::files::FileKind;
use crate::{MetainfoError, Remark};

impl Reader<'_, '_> {
    pub(super) fn read_hybrid(&self, remarks: &mut Vec<Remark>) -> Result<Layout, MetainfoError> {
        let mut space = SpaceV1::new(self);
        let mut walk = self.walk_tree()?;
        let piece_length = u64::from(self.piece_length);
        let mut file_number = 0;
        // Where the next file that is not empty must begin, in v2 as in v1.
        let mut aligned = 0u64;
        let mut end_of_data = 0u64;
        for file in self.files_v1(remarks)? {
            let file = file?;
            if file.kind == FileKind::Padding {
                space.push(file.best_path(), &file, None, None)?;
                continue;
            }
            let twin = walk.next_file()?.ok_or(HybridMismatch::FileCount)?;
            self.compare(&file, &twin, walk.path(), file_number)?;
            if file.length > 0 {
                if space.total_length != aligned {
                    return Err(HybridMismatch::Alignment { file: file_number }.into());
                }
                end_of_data = aligned + file.length;
                aligned = end_of_data.next_multiple_of(piece_length);
            }
            space.push(
                walk.path(),
                &file,
                twin.target.as_deref(),
                self.root_at(twin.root),
            )?;
            file_number += 1;
        }
        if walk.next_file()?.is_some() {
            return Err(HybridMismatch::FileCount.into());
        }
        // libtorrent leaves the padding behind the last file out.
        if space.total_length != end_of_data && space.total_length != aligned {
            return Err(HybridMismatch::TailPadding.into());
        }
        self.finish_v1(space)
    }

    fn compare(
        &self,
        v1: &FileV1<'_>,
        v2: &FileV2<'_, '_>,
        v2_path: &[&[u8]],
        file: usize,
    ) -> Result<(), HybridMismatch> {
        let is_same_path = if self.has_folder_v1() {
            v1.path == v2_path || v1.best_path() == v2_path
        } else {
            self.dict
                .get("name")
                .and_then(ValueRef::as_bytes)
                .is_some_and(|name| v2_path == [name])
                || v2_path == self.name_as_path()
        };
        if !is_same_path {
            return Err(HybridMismatch::Name { file });
        }
        if v1.length != v2.length {
            return Err(HybridMismatch::Length { file });
        }
        if v1.target != v2.target {
            return Err(HybridMismatch::Symlink { file });
        }
        Ok(())
    }
}
