/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of Criterion, for checks outside of its tests: what fails is a crash that a fuzzer sees. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define cr_assert_fail(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())
