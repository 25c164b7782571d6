// EuclideanLoss and HingeLoss over the protocol of docs/protocol.md, in one file of C++17 without a library.
//
//     g++ -std=c++17 -O2 losses.cpp -o losses && lossconf run process:./losses
//
// What belongs to the losses is at the end; copy the rest and put your own layers there.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

// JSON, as much of it as the protocol uses. Ids stay below 2^53.

struct Json {
    using List = std::vector<Json>;
    using Object = std::map<std::string, Json>;
    std::variant<std::nullptr_t, bool, double, std::string, List, Object> value = nullptr;

    const Object& object() const { return std::get<Object>(value); }
    const List& list() const { return std::get<List>(value); }
    const std::string& text() const { return std::get<std::string>(value); }
    bool flag() const { return std::get<bool>(value); }
    bool has(const std::string& key) const { return object().count(key) != 0; }
    const Json& operator[](const std::string& key) const { return object().at(key); }

    double number() const {
        if (const double* plain = std::get_if<double>(&value)) return *plain;
        const std::string& word = text();
        if (word == "Infinity") return std::numeric_limits<double>::infinity();
        if (word == "-Infinity") return -std::numeric_limits<double>::infinity();
        if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
        throw std::runtime_error("no number: " + word);
    }
};

class Reader {
public:
    explicit Reader(const std::string& line) : at_(line.c_str()) {}

    Json read() {
        skip();
        switch (*at_) {
            case '{': return object();
            case '[': return list();
            case '"': return {text()};
            case 't': return word("true", {true});
            case 'f': return word("false", {false});
            case 'n': return word("null", {nullptr});
            default: return number();
        }
    }

private:
    void skip() { while (*at_ && std::strchr(" \t\r\n", *at_)) ++at_; }

    bool took(char wanted) {
        skip();
        if (*at_ != wanted) return false;
        ++at_;
        return true;
    }

    void need(char wanted) {
        if (!took(wanted)) throw std::runtime_error(std::string("JSON: no '") + wanted + "' where it belongs");
    }

    Json object() {
        Json::Object members;
        need('{');
        if (took('}')) return {members};
        do {
            skip();
            std::string key = text();
            need(':');
            members[key] = read();
        } while (took(','));
        need('}');
        return {members};
    }

    Json list() {
        Json::List items;
        need('[');
        if (took(']')) return {items};
        do items.push_back(read()); while (took(','));
        need(']');
        return {items};
    }

    Json word(const char* word, Json meaning) {
        if (std::strncmp(at_, word, std::strlen(word)) != 0) throw std::runtime_error("JSON: an unknown word");
        at_ += std::strlen(word);
        return meaning;
    }

    Json number() {
        char* end = nullptr;
        double parsed = std::strtod(at_, &end);
        if (end == at_) throw std::runtime_error("JSON: nothing where a value belongs");
        at_ = end;
        return {parsed};
    }

    std::string text() {
        std::string out;
        need('"');
        while (*at_ != '"') {
            if (!*at_) throw std::runtime_error("JSON: a text without an end");
            if (*at_ != '\\') { out += *at_++; continue; }
            char escaped = at_[1];
            at_ += 2;
            const char* names = "\"\\/bfnrt";
            const char* meanings = "\"\\/\b\f\n\r\t";
            if (escaped == 'u') { code_point(out); continue; }
            const char* place = std::strchr(names, escaped);
            if (!escaped || !place) throw std::runtime_error("JSON: an unknown escape");
            out += meanings[place - names];
        }
        ++at_;
        return out;
    }

    void code_point(std::string& out) {  // names of layers and blobs; surrogate pairs come out as two
        unsigned code = std::stoul(std::string(at_, strnlen(at_, 4)), nullptr, 16);
        at_ += 4;
        if (code < 0x80) { out += char(code); return; }
        if (code < 0x800) { out += char(0xC0 | code >> 6); }
        else { out += char(0xE0 | code >> 12); out += char(0x80 | (code >> 6 & 0x3F)); }
        out += char(0x80 | (code & 0x3F));
    }

    const char* at_;
};

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (unsigned char c : text) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, c < 0x20 || c == '"' || c == '\\' ? "\\u%04x" : "%c", c);
        out += escaped;
    }
    return out + "\"";
}

// Arrays.

template <typename T>
struct Array {
    std::vector<std::size_t> shape;
    std::vector<T> data;

    std::size_t num() const { return shape.at(0); }
    std::size_t dim() const { return num() ? data.size() / num() : 0; }
};

std::vector<unsigned char> bytes_of(const std::string& base64) {
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<unsigned char> out;
    std::uint32_t bits = 0;
    int held = 0;
    for (char c : base64) {
        if (c == '=') break;
        bits = bits << 6 | std::uint32_t(digits.find(c));
        held += 6;
        if (held >= 8) out.push_back((bits >> (held -= 8)) & 0xFF);
    }
    return out;
}

template <typename T>
Array<T> array_of(const Json& json) {  // on a little-endian machine
    Array<T> array;
    for (const Json& size : json["shape"].list()) array.shape.push_back(std::size_t(size.number()));
    if (json.has("base64")) {
        std::vector<unsigned char> bytes = bytes_of(json["base64"].text());
        array.data.resize(bytes.size() / sizeof(T));
        std::memcpy(array.data.data(), bytes.data(), array.data.size() * sizeof(T));
    } else {
        for (const Json& number : json["data"].list()) array.data.push_back(T(number.number()));
    }
    return array;
}

template <typename T>
std::string json_of(const Array<T>& array) {
    std::string shape, data;
    for (std::size_t size : array.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    for (T number : array.data) {
        char text[40];
        if (std::isfinite(number)) std::snprintf(text, sizeof text, "%.*g", std::numeric_limits<T>::max_digits10, double(number));
        else std::snprintf(text, sizeof text, "%s", std::isnan(number) ? "\"NaN\"" : number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        data += (data.empty() ? "" : ",") + std::string(text);
    }
    return "{\"shape\":[" + shape + "],\"data\":[" + data + "]}";
}

// The losses.

struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <typename T>
struct Loss {
    double value = 0;  // also for float: a float sum of a million terms is off by a percent
    std::vector<Array<T>> diffs;  // of the bottoms, for a top diff of 1
};

template <typename T>
Loss<T> euclidean_loss(const Json&, const std::vector<Array<T>>& bottoms) {
    const Array<T>&a = bottoms.at(0), &b = bottoms.at(1);
    if (a.num() != b.num() || a.dim() != b.dim()) throw Refused("Inputs must have the same dimension.");
    Loss<T> loss{0, {a, b}};
    for (std::size_t i = 0; i < a.data.size(); ++i) {
        T difference = a.data[i] - b.data[i];
        loss.value += difference * difference;
        loss.diffs[0].data[i] = difference / T(a.num());
        loss.diffs[1].data[i] = -difference / T(a.num());
    }
    loss.value /= T(a.num()) * 2;
    return loss;
}

template <typename T>
Loss<T> hinge_loss(const Json& layer, const std::vector<Array<T>>& bottoms) {
    const Array<T>&scores = bottoms.at(0), &labels = bottoms.at(1);
    bool squared = layer.has("hinge_loss_param") && layer["hinge_loss_param"].has("norm") &&
                   layer["hinge_loss_param"]["norm"].text() == "L2";
    Loss<T> loss{0, {scores, labels}};
    for (std::size_t n = 0; n < scores.num(); ++n) {
        int label = int(labels.data.at(n));  // truncated toward zero, as Caffe has it
        if (label < 0 || std::size_t(label) >= scores.dim()) throw Refused("label out of range");
        for (std::size_t k = 0; k < scores.dim(); ++k) {
            std::size_t i = n * scores.dim() + k;
            T sign = k == std::size_t(label) ? T(-1) : T(1);
            T margin = std::max(T(0), 1 + sign * scores.data[i]);
            loss.value += squared ? margin * margin : margin;
            loss.diffs[0].data[i] = margin > 0 ? sign * (squared ? 2 * margin : T(1)) / T(scores.num()) : T(0);
        }
    }
    loss.value /= T(scores.num());
    return loss;
}

template <typename T>
const std::map<std::string, std::function<Loss<T>(const Json&, const std::vector<Array<T>>&)>> losses = {
    {"EuclideanLoss", euclidean_loss<T>},
    {"HingeLoss", hinge_loss<T>},
};

// The conversation.

// A request's passes all go through one layer, which may keep what it likes; the last one's numbers are the answer.
// These losses keep nothing, so that the last pass is all they need, and the bottoms that it was last given.
template <typename T>
std::string computed(const Json& request) {
    const Json::List& passes = request["passes"].list();
    const Json& last = passes.back();
    std::vector<Array<T>> bottoms;
    for (const Json& pass : passes) {
        if (!pass.has("bottoms")) continue;
        bottoms.clear();
        for (const Json& bottom : pass["bottoms"].list()) bottoms.push_back(array_of<T>(bottom));
    }
    Loss<T> loss = losses<T>.at(request["layer"]["type"].text())(request["layer"], bottoms);
    std::string answer = "\"computed\":{\"tops\":[" + json_of(Array<T>{{}, {T(loss.value)}}) + "]";
    if (last.has("top_diffs")) {
        T top_diff = array_of<T>(last["top_diffs"].list().at(0)).data.at(0);
        std::string diffs;
        for (std::size_t i = 0; i < loss.diffs.size(); ++i) {
            for (T& diff : loss.diffs[i].data) diff *= top_diff;
            bool wanted = last["propagate_down"].list().at(i).flag();
            diffs += (i ? "," : "") + (wanted ? json_of(loss.diffs[i]) : "null");
        }
        answer += ",\"bottom_diffs\":[" + diffs + "]";
    }
    return answer + "}";
}

std::string answer(const Json& request) {
    const std::string& verb = request["verb"].text();
    if (verb == "describe")
        return R"("description":{"protocol":2,"name":"losses.cpp","version":"1","language":"C++17","capability":"layer",)"
               R"("layers":["EuclideanLoss","HingeLoss"],"dtypes":["float32","float64"],"dialect":"documented"})";
    if (verb != "run") return "\"unsupported\":" + quoted(verb + " is not implemented");
    try {
        return request["dtype"].text() == "float64" ? computed<double>(request) : computed<float>(request);
    } catch (const Refused& refusal) {
        return "\"refusal\":{\"stage\":\"forward\",\"message\":" + quoted(refusal.what()) + "}";
    }
}

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        std::string id = "null", body;
        try {
            Json request = Reader(line).read();
            if (request["verb"].text() == "stop") return 0;
            id = std::to_string((long long)request["id"].number());
            body = answer(request);
        } catch (const std::exception& error) {
            body = "\"error\":" + quoted(error.what());
        }
        std::cout << "{\"id\":" << id << "," << body << "}" << std::endl;  // endl flushes
    }
}
