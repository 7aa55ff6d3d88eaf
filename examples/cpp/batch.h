// What the examples share: a batch of images from the command line, and its logits on standard output.
//
// Images are float32, NCHW. Without a file every value is 1; a file holds the values as raw little-endian floats.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

inline at::Tensor read_images(const char* path, at::IntArrayRef shape) {
    at::Tensor images = at::empty(shape);
    const auto bytes = static_cast<std::streamsize>(images.nbytes());
    std::ifstream file(path, std::ios::binary);
    file.read(static_cast<char*>(images.data_ptr()), bytes);
    if (file.gcount() != bytes) throw std::runtime_error(std::string(path) + " holds too few values");
    return images;
}

inline void print_logits(const at::Tensor& logits) {
    const float* value = logits.data_ptr<float>();
    for (std::int64_t image = 0; image < logits.size(0); ++image) {
        for (std::int64_t i = 0; i < logits.size(1); ++i) std::printf("%.9g ", *value++);
        std::printf("class %lld\n", static_cast<long long>(logits[image].argmax().item<std::int64_t>()));
    }
}

// Calls `run(folder, images)` with what the command line names, and prints the logits that it gives.
template <typename Run>
int answer(int argc, char** argv, Run run) {
    if (argc != 6 && argc != 7) {
        std::fprintf(stderr, "usage: %s ARTIFACT_FOLDER BATCH CHANNELS HEIGHT WIDTH [VALUES_FILE]\n", argv[0]);
        return 2;
    }
    try {
        std::int64_t shape[4];
        for (int i = 0; i < 4; ++i) shape[i] = std::stoll(argv[i + 2]);
        const at::Tensor images = argc == 7 ? read_images(argv[6], shape) : at::ones(shape);
        print_logits(run(std::string(argv[1]), images).contiguous());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
