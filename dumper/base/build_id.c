#include "base/build_id.h"

#include <elf.h>
#include <string.h>

#include "base/checked.h"

bool hf_build_id_of_notes(const void *notes, uint64_t size_bytes, struct hf_build_id *ret)
{
	const uint8_t *p = notes;
	for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= size_bytes;) {
		Elf64_Nhdr note;
		memcpy(&note, p + at, sizeof(note));
		uint64_t name = at + sizeof(note);
		uint64_t desc = name + hf_align_up((uint64_t)note.n_namesz, 4);
		uint64_t next = desc + hf_align_up((uint64_t)note.n_descsz, 4);
		if (next > size_bytes || next <= at)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			memcmp(p + name, "GNU", 4) == 0 && note.n_descsz <= HF_BUILD_ID_MAX) {
			memcpy(ret->bytes, p + desc, note.n_descsz);
			ret->size = note.n_descsz;
			return true;
		}
		at = next;
	}
	return false;
}
