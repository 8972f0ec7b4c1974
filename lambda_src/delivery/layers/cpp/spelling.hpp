// The words of an event → those of the dictionary that are most like them. ../handler.py does the same in Python.
#pragma once

#include <dirent.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime.hpp"

namespace spelling {

constexpr std::size_t max_distance = 2;

inline std::u32string characters(std::string_view utf8) {
    std::u32string result;
    for (const char c : utf8) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0) == 0x80 && !result.empty()) result.back() = (result.back() << 6) | (byte & 0x3F);
        else result += byte < 0x80 ? byte : byte < 0xE0 ? byte & 0x1F : byte < 0xF0 ? byte & 0x0F : byte & 0x07;
    }
    return result;
}

// How many characters have to be inserted, deleted or replaced.
inline std::size_t distance(const std::u32string& a, const std::u32string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j < row.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

class Dictionary {
public:
    // Reads the .txt files of a folder, with a word on each line.
    explicit Dictionary(const std::string& folder) {
        DIR* opened = opendir(folder.c_str());
        while (const dirent* entry = opened ? readdir(opened) : nullptr)
            if (std::string_view(entry->d_name).ends_with(".txt")) add(folder + "/" + entry->d_name);
        if (opened) closedir(opened);
        std::sort(words_.begin(), words_.end());
    }

    bool empty() const { return words_.empty(); }
    // Returns the first of the words that are most like a word, as JSON; null if all are too different.
    std::string nearest(std::string_view word) const {
        const auto wanted = characters(word);
        std::size_t least = max_distance + 1;
        std::string best = "null";
        for (const auto& [text, known] : words_) {
            if (known.size() >= wanted.size() + least || wanted.size() >= known.size() + least) continue;
            const auto found = distance(wanted, known);
            if (found < least) best = json::quoted(text);
            least = std::min(least, found);
        }
        return best;
    }

private:
    void add(const std::string& path) {
        char line[256];
        std::FILE* file = std::fopen(path.c_str(), "r");
        while (file && std::fgets(line, sizeof line, file))
            if (const std::string word(http::trimmed(line)); !word.empty()) words_.emplace_back(word, characters(word));
        if (file) std::fclose(file);
    }

    std::vector<std::pair<std::string, std::u32string>> words_;
};

// {"words": ["recieve"]} → {"corrections": {"recieve": "receive"}}
inline lambda::Result correct(const Dictionary& dictionary, std::string_view event, const lambda::Context& context) {
    std::vector<std::string> words;
    bool found = false;
    json::Reader reader(event);
    const bool read = reader.object([&](const std::string& name) {
        if (name != "words") return reader.skip();
        words.clear();
        return found = reader.array([&] { return reader.string(words.emplace_back()) && reader.is_whole(); });
    });
    if (!read || !found || !reader.at_end())
        return std::unexpected(lambda::Error{"InvalidEvent", "words must be an array of strings"});

    std::string corrections;
    for (const std::string& word : words) {
        if (context.remaining_ms() < 100)  // better an error that says so than a timeout
            return std::unexpected(lambda::Error{"OutOfTime", "the function has too little time for all words"});
        corrections += (corrections.empty() ? "" : ",") + json::quoted(word) + ":" + dictionary.nearest(word);
    }
    lambda::log("INFO", context.request_id, "corrected " + http::decimal(words.size()) + " words");
    return "{\"corrections\":{" + corrections + "}}";
}

}  // namespace spelling
