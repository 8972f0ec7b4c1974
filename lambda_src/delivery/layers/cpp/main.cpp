// The bootstrap that Lambda starts: reads its settings and the dictionary once, and then runs events.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
#include "standard_library.hpp"

#include "runtime.hpp"
#include "spelling.hpp"

int main() {
    const auto setting = [](const char* name) { return std::string(std::getenv(name) ? std::getenv(name) : ""); };
    lambda::Runtime runtime(setting("AWS_LAMBDA_RUNTIME_API"));
    const std::string handler = setting("_HANDLER"), folder = setting("DICTIONARY");
    if (handler != "spelling.correct")
        return runtime.fail({"NoSuchHandler", handler + ": this runtime has only spelling.correct"});
    const spelling::Dictionary dictionary(folder);
    if (dictionary.empty()) return runtime.fail({"NoDictionary", folder + " has no words: add a layer that has"});
    return runtime.run([&](std::string_view event, const lambda::Context& context) {
        return spelling::correct(dictionary, event, context);
    });
}
