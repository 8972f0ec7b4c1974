// As much JSON as events need: reads a value step by step, and quotes strings.
#pragma once

#include <string>
#include <string_view>

#include "http.hpp"

namespace json {

inline std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') (result += '\\') += c;
        else if (static_cast<unsigned char>(c) >= ' ') result += c;
        else (result += c < 16 ? "\\u000" : "\\u001") += "0123456789abcdef"[c % 16];
    }
    return result += '"';
}

// Each method reads one thing, and returns false if the text has something else there.
class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}

    bool at_end() { return peek() == '\0' && rest_.empty(); }
    bool is_whole() const { return whole_; }  // or the last string has half of a character, which UTF-8 cannot have

    bool string(std::string& text) {
        text.clear();
        whole_ = true;
        if (!take('"')) return false;
        for (char c = next(); c != '"'; c = next()) {
            if (rest_.empty()) return false;
            if (c != '\\') text += c;
            else if (!escape(text)) return false;
        }
        return true;
    }

    // Calls `member(name)` for each member of an object, which reads the value.
    template <typename Member>
    bool object(Member&& member) {
        std::string name;
        if (!take('{')) return false;
        if (take('}')) return true;
        do if (!string(name) || !take(':') || !member(name)) return false;
        while (take(','));
        return take('}');
    }

    template <typename Item>
    bool array(Item&& item) {
        if (!take('[')) return false;
        if (take(']')) return true;
        do if (!item()) return false;
        while (take(','));
        return take(']');
    }

    // Reads a value of any kind.
    bool skip(int depth = 0) {
        std::string text;
        const auto inner = [&](auto&&...) { return skip(depth + 1); };
        if (depth > 500) return false;
        if (peek() == '"') return string(text);
        if (peek() == '{') return object(inner);
        if (peek() == '[') return array(inner);
        const auto end = rest_.find_first_of(",]} \t\r\n");  // a number, true, false or null
        rest_.remove_prefix(std::min(end, rest_.size()));
        return end != 0;
    }

private:
    char peek() {
        rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
        return rest_.empty() ? '\0' : rest_.front();
    }

    bool take(char expected) { return peek() == expected && next() == expected; }

    char next() {
        if (rest_.empty()) return '\0';
        const char c = rest_.front();
        rest_.remove_prefix(1);
        return c;
    }

    bool escape(std::string& text) {
        constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        const char c = next();
        if (const auto at = names.find(c); at != names.npos) return text += meanings[at], true;
        std::size_t point = 0, low = 0;
        if (c != 'u' || !unit(point)) return false;
        Reader other(rest_.starts_with("\\u") ? rest_.substr(2) : "");  // half of a character, if this is one
        if (point >> 10 == 0xD800 >> 10 && other.unit(low) && low >> 10 == 0xDC00 >> 10) {
            rest_ = other.rest_;
            point = 0x10000 + ((point & 0x3FF) << 10) + (low & 0x3FF);
        }
        whole_ &= point >> 11 != 0xD800 >> 11;
        const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;  // bytes of UTF-8
        constexpr unsigned char first[] = {0x00, 0xC0, 0xE0, 0xF0};
        text += static_cast<char>(first[more] | (point >> (6 * more)));
        for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | ((point >> (6 * i)) & 0x3F));
        return true;
    }

    bool unit(std::size_t& value) {
        if (rest_.size() < 4 || !http::number(rest_.substr(0, 4), value, 16)) return false;
        rest_.remove_prefix(4);
        return true;
    }

    std::string_view rest_;
    bool whole_ = true;
};

}  // namespace json
