/* Files that are written into exports. */
#pragma once
#include "store/embedded.h"

extern const struct hf_embedded hf_export_scripts[];
