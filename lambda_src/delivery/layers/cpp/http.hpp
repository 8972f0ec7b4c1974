// A client for HTTP/1.1 on one connection that stays open: request → status, headers, body.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <expected>
#include <string>
#include <string_view>

namespace http {

constexpr std::size_t max_head = 64 * 1024, max_body = 32 * 1024 * 1024;  // an event has at most 6 MB

inline bool number(std::string_view text, std::size_t& value, int base = 10) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    return error == std::errc() && end == text.data() + text.size();
}

inline std::string decimal(std::size_t value) {
    char digits[24];
    return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

inline std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
    return first == text.npos ? std::string_view() : text.substr(first, last - first + 1);
}

inline bool same(std::string_view a, std::string_view b) {  // whatever the case of letters
    return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

struct Response {
    std::size_t status = 0;
    std::string head, body;

    // The value of a header, however its name is written; empty if there is none.
    std::string_view header(std::string_view name) const {
        for (auto at = head.find('\n'); at != head.npos; at = head.find('\n', at + 1)) {
            const auto line = std::string_view(head).substr(at + 1, head.find('\n', at + 1) - at - 1);
            if (line.find(':') == name.size() && same(line.substr(0, name.size()), name))
                return trimmed(line.substr(name.size() + 1));
        }
        return {};
    }
};

using Result = std::expected<Response, std::string>;

class Client {
public:
    // Takes the value of AWS_LAMBDA_RUNTIME_API, such as "127.0.0.1:9001". The connection ends with the program.
    explicit Client(std::string address) : address_(std::move(address)) {}

    Result send(const std::string& method, const std::string& path, const std::string& headers = "",
                const std::string& body = "") {
        const std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + address_ + "\r\n" + headers +
                                    "Content-Length: " + decimal(body.size()) + "\r\n\r\n" + body;
        const bool reused = socket_ >= 0;
        Result result = exchange(request);
        // The server may have closed a connection that was idle, without having seen this request.
        return !result && reused && silent_ ? exchange(request) : std::move(result);
    }

private:
    Result exchange(std::string_view request) {
        silent_ = true;
        if (socket_ < 0 && !connect()) return std::unexpected("cannot connect to " + address_);
        const bool written = write(request);  // if not, the answer may say why
        Result result = read();
        if (!result || !written || same(result->header("connection"), "close")) disconnect();
        return result;
    }

    bool connect() {
        std::size_t port = 0;
        const auto colon = std::min(address_.find(':'), address_.size() - 1);
        if (!number(address_.substr(colon + 1), port)) return false;
        const in_addr host{inet_addr(address_.substr(0, colon).c_str())};
        const sockaddr_in to{AF_INET, htons(static_cast<in_port_t>(port)), host, {}};
        socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = 1;  // or an answer waits 40 ms for an acknowledgement
        setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) disconnect();
        return socket_ >= 0;
    }

    void disconnect() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
        buffer_.clear();
    }

    bool write(std::string_view data) {
        while (!data.empty()) {
            const auto sent = ::send(socket_, data.data(), data.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EINTR) return false;
            data.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
        }
        return true;
    }

    bool fill() {
        char chunk[64 * 1024];
        ssize_t got = 0;
        while ((got = ::recv(socket_, chunk, sizeof chunk, 0)) < 0 && errno == EINTR) {}
        if (got <= 0) return false;
        silent_ = false;
        buffer_.append(chunk, static_cast<std::size_t>(got));
        return true;
    }

    bool take(std::size_t size, std::string& into) {
        while (buffer_.size() < size)
            if (!fill()) return false;
        into.append(buffer_, 0, size);
        buffer_.erase(0, size);
        return true;
    }

    // Takes the text before a mark, and the mark.
    bool take_until(std::string_view mark, std::string& text) {
        std::size_t end = 0;
        while ((end = buffer_.find(mark)) == buffer_.npos)
            if (buffer_.size() > max_head || !fill()) return false;
        text.assign(buffer_, 0, end);
        buffer_.erase(0, end + mark.size());
        return true;
    }

    Result read() {
        Response response;
        auto& [status, head, body] = response;
        std::size_t size = 0;
        do {  // 100 and the like announce the answer
            if (!take_until("\r\n\r\n", head)) return std::unexpected("the connection was closed");
            if (!head.starts_with("HTTP/1.") || head.size() < 12 || !number(head.substr(9, 3), status))
                return std::unexpected("an answer is no HTTP");
        } while (status < 200);
        if (same(response.header("transfer-encoding"), "chunked")) {
            if (!read_chunks(body)) return std::unexpected("the chunks of an answer are no chunks");
        } else if (const auto length = response.header("content-length"); !length.empty()) {
            if (!number(length, size) || size > max_body || !take(size, body))
                return std::unexpected("the body of an answer has not the length " + std::string(length));
        }
        return response;
    }

    bool read_chunks(std::string& body) {
        std::string line;
        for (std::size_t size = 1; size != 0;) {
            if (!take_until("\r\n", line)) return false;
            const auto digits = trimmed(std::string_view(line).substr(0, line.find(';')));
            if (!number(digits, size, 16) || size > max_body - body.size()) return false;
            if (size != 0 && (!take(size, body) || !take_until("\r\n", line) || !line.empty())) return false;
        }
        do if (!take_until("\r\n", line)) return false;  // trailers
        while (!line.empty());
        return true;
    }

    std::string address_, buffer_;
    int socket_ = -1;
    bool silent_ = true;  // nothing of the answer has arrived
};

}  // namespace http
