// What the headers of the C++ standard library need of its binary part. Without exceptions and streams that is
// all, so that part is not linked (-nostdlib++): Zig would compile it first, and the program would be four times
// as large.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

void* operator new(std::size_t size) {
    if (void* memory = std::malloc(size)) return memory;
    std::abort();  // Lambda reports Runtime.ExitError
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[noreturn]] void std::__1::__libcpp_verbose_abort(const char* reason, ...) noexcept {
    std::fputs(reason, stderr);
    std::abort();
}
template class std::basic_string<char>;
template std::string std::operator+ <char, std::char_traits<char>, std::allocator<char>>(const char*,
                                                                                         const std::string&);
