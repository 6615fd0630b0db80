/* The steps that a group of message files takes on disk, each for all of them in one call (file_steps.py).
 *
 * Python lets go of its lock around each call of the system, and the event loop's thread takes it meanwhile. With seven
 * calls a message, a thread spends more on getting the lock back than on its files; here it is let go once a step.
 *
 * `errors` has a place for each file: 0, or the errno of the call that failed. There is no Python in here: ctypes calls it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 }; /* octets that are written at a time */

static int write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t count = write(fd, data, length);
        if (count < 0 && errno != EINTR)
            return errno;
        if (count > 0) {
            data += count;
            length -= (size_t)count;
        }
    }
    return 0;
}

/* Write lines that end in CRLF with the line ends of the disk. No CR is without its LF, so that it takes the CRs out. */
static int write_lines(int fd, const char *lines, size_t length, uint64_t *written)
{
    char piece[PIECE];
    size_t filled = 0;
    const char *const end = lines + length;

    *written = 0;
    while (lines < end) {
        size_t count = (size_t)(end - lines);
        if (count > sizeof piece - filled)
            count = sizeof piece - filled;
        const char *const cr = memchr(lines, '\r', count);
        if (cr != NULL)
            count = (size_t)(cr - lines);
        memcpy(piece + filled, lines, count);
        filled += count;
        lines += count + (cr != NULL);
        if (filled == sizeof piece || lines == end) {
            int error = write_all(fd, piece, filled);
            if (error != 0)
                return error;
            *written += filled;
            filled = 0;
        }
    }
    return 0;
}

static int create(const char *path, mode_t mode, int *fd, uint64_t *device)
{
    struct stat about;

    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (*fd < 0 || fstat(*fd, &about) != 0)
        return errno;
    *device = about.st_dev;
    if ((about.st_mode & 07777) != mode && fchmod(*fd, mode) != 0) /* the umask took some of it */
        return errno;
    return 0;
}

static int write_out(int fd)
{
    const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

    if (sync_file_range(fd, 0, 0, all) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM) /* which say that the runtime of a container does not let us */
        return errno;
    return fdatasync(fd) != 0 ? errno : 0;
}

/* Make files and write a message into each. One that fails may be open all the same: its fd is -1 where it is not. */
void mailport_create(size_t files, const char *const *paths, const uint32_t *modes, const char *const *messages,
                     const size_t *lengths, int *fds, uint64_t *devices, uint64_t *written, int *errors)
{
    for (size_t i = 0; i < files; i++) {
        errors[i] = create(paths[i], modes[i], &fds[i], &devices[i]);
        if (errors[i] == 0)
            errors[i] = write_lines(fds[i], messages[i], lengths[i], &written[i]);
    }
}

/* Write more lines into a file. Return an errno. */
int mailport_append(int fd, const char *lines, size_t length, uint64_t *written)
{
    return write_lines(fd, lines, length, written);
}

void mailport_begin_write_out(size_t files, const int *fds)
{
    for (size_t i = 0; i < files; i++)
        sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WRITE);
}

void mailport_write_out(size_t files, const int *fds, int *errors)
{
    for (size_t i = 0; i < files; i++)
        errors[i] = write_out(fds[i]);
}

void mailport_close(size_t files, const int *fds, int *errors)
{
    for (size_t i = 0; i < files; i++)
        errors[i] = close(fds[i]) != 0 ? errno : 0;
}

void mailport_rename(size_t files, const char *const *paths, const char *const *targets, int *errors)
{
    for (size_t i = 0; i < files; i++)
        errors[i] = rename(paths[i], targets[i]) != 0 ? errno : 0;
}

/* Take the first four steps with all files: make those that are not open yet, begin to write them out, wait for that, close.
 * Stop behind the making, and return 0, where a folder is not there or a file is on another device. */
int mailport_put_on_disk(size_t files, const char *const *paths, const uint32_t *modes, const char *const *messages,
                         const size_t *lengths, uint64_t device, int *fds, uint64_t *devices, uint64_t *written, int *errors)
{
    int goes_on = 1;

    for (size_t i = 0; i < files; i++) {
        errors[i] = 0;
        if (fds[i] < 0)
            mailport_create(1, &paths[i], &modes[i], &messages[i], &lengths[i], &fds[i], &devices[i], &written[i], &errors[i]);
        if (errors[i] == ENOENT || (fds[i] >= 0 && devices[i] != device))
            goes_on = 0;
    }
    if (!goes_on)
        return 0;
    if (files > 1)
        mailport_begin_write_out(files, fds);
    for (size_t i = 0; i < files; i++)
        if (errors[i] == 0)
            errors[i] = write_out(fds[i]);
    for (size_t i = 0; i < files; i++)
        if (errors[i] == 0) {
            errors[i] = close(fds[i]) != 0 ? errno : 0;
            fds[i] = -1;
        }
    return 1;
}

/* Sync a folder: what disk.py's sync_folder does. Return an errno. */
int mailport_sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return error;
}
