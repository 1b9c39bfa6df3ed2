/* Writes the bytes whose hexadecimal digits are read from standard input. */
#include <stdio.h>

int main(void)
{
    unsigned byte;
    int found;

    while ((found = scanf("%2x", &byte)) == 1)
        putchar((int)byte);
    if (found != EOF) {
        fputs("unhex: not a hexadecimal digit\n", stderr);
        return 1;
    }
    return 0;
}
