/* python.exe: starts the Python of the library that lies beside it. */
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **words)
{
    HMODULE library = LoadLibraryW(LIBRARY);
    int (*start)(int, wchar_t **) = library ? (int (*)(int, wchar_t **))GetProcAddress(library, "Py_Main") : NULL;
    if (!start) {
        fprintf(stderr, "python.exe: %ls cannot be loaded: error %lu\n", LIBRARY, GetLastError());
        return 1;
    }
    return start(count, words);
}
