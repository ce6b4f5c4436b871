// Reading a file at an offset, by several threads at once: pread, and on Windows ReadFile.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX  // otherwise min is a macro
#endif
#include <windows.h>

#include <io.h>
#else
#include <unistd.h>
#endif

namespace fastmlp {

// Returns how many bytes were read, at most `bytes`; 0 at the end of the file, and -1 after an error, with errno.
inline std::int64_t read_at(int file, char* to, std::int64_t bytes, std::int64_t offset) noexcept {
    constexpr std::int64_t max_bytes = 1 << 30;  // ReadFile's count has 32 bits, and macOS rejects one above INT_MAX
    const std::int64_t wanted = bytes < max_bytes ? bytes : max_bytes;
#ifdef _WIN32
    OVERLAPPED at{};  // the place, also for a file that was not opened for overlapped reads
    at.Offset = static_cast<DWORD>(offset);
    at.OffsetHigh = static_cast<DWORD>(offset >> 32);
    DWORD count = 0;
    const auto handle = reinterpret_cast<HANDLE>(_get_osfhandle(file));
    if (ReadFile(handle, to, static_cast<DWORD>(wanted), &count, &at)) return count;
    if (GetLastError() == ERROR_HANDLE_EOF) return 0;
    errno = EIO;
    return -1;
#else
    return pread(file, to, static_cast<std::size_t>(wanted), static_cast<off_t>(offset));
#endif
}

}  // namespace fastmlp
