/* Prints the Adler-32 checksum of standard input. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

int main(void)
{
    uint32_t a = 1, b = 0;
    int c;

    /* getchar() returns an int: in a char, which is unsigned on Arm, EOF would never come */
    while ((c = getchar()) != EOF) {
        a = (a + (uint32_t)c) % 65521;
        b = (b + a) % 65521;
    }
    printf("%08" PRIx32 "\n", b << 16 | a);
    return ferror(stdin) != 0;
}
