// The loop of a custom runtime: next invocation → handler → its response or error.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
#pragma once

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <source_location>

#include "http.hpp"
#include "json.hpp"

namespace lambda {

struct Error {
    std::string type, message;
    std::source_location where = std::source_location::current();
};

using Result = std::expected<std::string, Error>;

struct Context {
    std::string request_id;
    std::size_t deadline_ms = 0;

    long long remaining_ms() const {
        timespec now{};
        clock_gettime(CLOCK_REALTIME, &now);
        return static_cast<long long>(deadline_ms) - now.tv_sec * 1000LL - now.tv_nsec / 1'000'000;
    }
};

inline void log(std::string_view level, std::string_view request_id, std::string_view message) {
    const std::string line = "{\"level\":" + json::quoted(level) + ",\"requestId\":" + json::quoted(request_id) +
                             ",\"message\":" + json::quoted(message) + "}\n";
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
}

class Runtime {
public:
    explicit Runtime(const std::string& api) : api_(api) {}

    // Reports that the function cannot start. Lambda shows it to the caller, and tries again with the next event.
    int fail(const Error& error) {
        log("FATAL", "", error.type + ": " + error.message);
        post("init/error", error);
        return 1;
    }

    // Runs the handler for each event, and returns when the API fails: Lambda then replaces the environment.
    template <typename Handler>
    int run(Handler&& handler) {
        for (;;) {
            // Without a timeout: Lambda freezes the environment until there is an event.
            const auto next = api_.send("GET", root_ + "invocation/next");
            if (!next || next->status != 200) return stop(next);
            Context context{std::string(next->header("lambda-runtime-aws-request-id"))};
            http::number(next->header("lambda-runtime-deadline-ms"), context.deadline_ms);
            const std::string trace(next->header("lambda-runtime-trace-id"));
            trace.empty() ? unsetenv("_X_AMZN_TRACE_ID") : setenv("_X_AMZN_TRACE_ID", trace.c_str(), 1);

            const std::string path = "invocation/" + context.request_id;
            const Result result = handler(next->body, context);
            auto answer = result ? api_.send("POST", root_ + path + "/response", json_, *result)
                                 : post(path + "/error", result.error());
            if (!result) log("ERROR", context.request_id, result.error().type + ": " + result.error().message);
            if (answer && answer->status == 413)
                answer = post(path + "/error", {"ResponseTooLarge", "Lambda allows a response of 6 MB"});
            // 500 is a failure of the environment. Others, such as 400, cost only this invocation.
            if (!answer || answer->status >= 500) return stop(answer);
            if (answer->status != 202) log("ERROR", context.request_id, "the result was refused: " + answer->body);
        }
    }

private:
    http::Result post(const std::string& path, const Error& error) {
        const std::string file = error.where.file_name();
        const std::string place = file.substr(file.rfind('/') + 1) + ":" + http::decimal(error.where.line());
        const std::string body = "{\"errorMessage\":" + json::quoted(error.message) + ",\"errorType\":" +
                                 json::quoted(error.type) + ",\"stackTrace\":[" + json::quoted(place) + "]}";
        const std::string type = "Lambda-Runtime-Function-Error-Type: Function." + error.type + "\r\n";
        return api_.send("POST", root_ + path, json_ + type, body);
    }

    static int stop(const http::Result& answer) {
        log("FATAL", "", "the Runtime API: " + (answer ? http::decimal(answer->status) : answer.error()));
        return 1;
    }

    http::Client api_;
    const std::string root_ = "/2018-06-01/runtime/", json_ = "Content-Type: application/json\r\n";
};

}  // namespace lambda
