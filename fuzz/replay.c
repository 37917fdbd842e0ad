/*
 * Runs every file of the folders given as arguments through the fuzz target it is linked with: the corpus and all
 * inputs that once crashed, in the ordinary test run and without a fuzzer. Each input is copied to a block of exactly
 * its size, so that the asan preset sees a read past the end. A folder that does not exist is empty.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
        FILE *f = fopen(path, "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0) {
                fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
                return -1;
        }
        long size = ftell(f);
        rewind(f);
        uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
        if (!data || size < 0 || fread(data, 1, (size_t)size, f) != (size_t)size) {
                fprintf(stderr, "replay: cannot read %s\n", path);
                free(data);
                fclose(f);
                return -1;
        }
        fclose(f);
        fprintf(stderr, "%s\n", path); /* before the run: the last line names the input that ends the program */
        LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
        return 0;
}

static int replay_folder(const char *folder)
{
        char path[4096];
        int count = 0;
        DIR *d = opendir(folder);
        if (!d)
                return errno == ENOENT ? 0 : -1;
        for (struct dirent *e; (e = readdir(d));) {
                if (e->d_name[0] == '.')
                        continue;
                if (snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= (int)sizeof(path) ||
                    replay_file(path) < 0) {
                        closedir(d);
                        return -1;
                }
                count++;
        }
        closedir(d);
        return count;
}

int main(int argc, char **argv)
{
        int total = 0;
        for (int i = 1; i < argc; i++) {
                int n = replay_folder(argv[i]);
                if (n < 0) {
                        fprintf(stderr, "replay: %s failed\n", argv[i]);
                        return 1;
                }
                total += n;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
        if (total == 0) {
                fprintf(stderr, "replay: no input in the folders given: a target without a corpus tests nothing\n");
                return 1;
        }
        printf("%d inputs\n", total);
        return 0;
}
