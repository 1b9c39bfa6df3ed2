/* Prints how many words standard input has. */
#include <ctype.h>
#include <stdio.h>

int main(void)
{
    unsigned long words = 0;
    int c, inside = 0;

    while ((c = getchar()) != EOF) {
        words += !isspace(c) && !inside;
        inside = !isspace(c);
    }
    printf("%lu\n", words);
    return 0;
}
