/* Writes each byte of standard input as two hexadecimal digits. */
#include <stdio.h>

int main(void)
{
    int c;

    while ((c = getchar()) != EOF)
        printf("%02x", (unsigned)c);
    putchar('\n');
    return 0;
}
