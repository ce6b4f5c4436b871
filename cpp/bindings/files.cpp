// Pieces of a file, read into an array by a team of threads.
#include <cerrno>

#include "gil.h"
#include "numpy_views.h"
#include "read_at.h"
#include "register.h"

namespace fastmlp {

struct Piece {
    int64_t file_offset, array_offset, bytes;
};

// 0, or the system's error, or -1 if the file ends first.
inline int read_piece(int file, const Piece& piece, char* to) noexcept {
    for (int64_t done = 0; done < piece.bytes;) {
        const int64_t count = read_at(file, to + piece.array_offset + done, piece.bytes - done, piece.file_offset + done);
        if (count == 0) return -1;
        if (count > 0) done += count;
        if (count < 0 && errno != EINTR) return errno;
    }
    return 0;
}

// Whether the file holds all pieces (file offset, array offset, bytes).
bool read_pieces(int file, py::array to, const Array<std::int64_t>& pieces, int n_threads) {
    require(to.flags() & py::array::c_style, "to must be C-contiguous");
    require(pieces.ndim() == 2 && pieces.shape(1) == 3, "pieces must have shape (pieces, 3)");
    std::vector<Piece> all;
    double bytes = 0;
    for (py::ssize_t i = 0; i < pieces.shape(0); ++i) {
        const Piece piece{pieces.at(i, 0), pieces.at(i, 1), pieces.at(i, 2)};
        require(piece.file_offset >= 0 && piece.array_offset >= 0 && piece.bytes >= 0 &&
                    piece.array_offset <= to.nbytes() - piece.bytes,
                "a piece must lie in the file and in the array");
        bytes += static_cast<double>(piece.bytes);
        all.push_back(piece);
    }
    char* const data = static_cast<char*>(to.mutable_data());
    const Pin pin(to);
    std::atomic<int> error{0};
    {
        const ReleasedGil released;
        run_team(useful_threads(n_threads, bytes), [&](const Worker& worker) noexcept {
            worker.share_out(static_cast<int64_t>(all.size()), [&](int64_t i) {
                const int code = read_piece(file, all[static_cast<std::size_t>(i)], data);
                if (code) error.store(code, std::memory_order_relaxed);
            });
        });
    }
    if (error > 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        throw py::error_already_set();
    }
    return error == 0;
}

void register_files(py::module_& m) {
    m.def("read_pieces", &read_pieces, py::arg("file"), py::arg("to"), py::arg("pieces").noconvert(),
          py::arg("n_threads"));
}

}  // namespace fastmlp
