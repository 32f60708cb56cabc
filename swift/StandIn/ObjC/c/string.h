// Stands in for the part of the C library that try.m uses.
#include <stddef.h>
char *strdup(const char *);
