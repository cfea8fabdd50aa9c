#include "metrics/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>

#include "base/clock.h"

namespace cairn::metrics {
namespace {

std::string ReadProc(const char* path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The seconds of the Unix epoch at which the machine was started.
double BootTime() {
  std::istringstream stat(ReadProc("/proc/stat"));
  std::string line;
  while (std::getline(stat, line)) {
    if (line.rfind("btime ", 0) == 0) return std::strtod(line.c_str() + 6, nullptr);
  }
  // The unit of the package hides the file.
  const std::chrono::duration<double> since_boot = SystemClock().SteadyNow();
  return std::round(static_cast<double>(SystemClock().WallNowMs()) / 1000 - since_boot.count());
}

}  // namespace

ProcessFigures ReadProcessFigures() {
  ProcessFigures figures;
  const std::string stat = ReadProc("/proc/self/stat");
  const size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end != std::string::npos) {
    std::istringstream fields(stat.substr(name_end + 1));
    const std::vector<std::string> field{std::istream_iterator<std::string>(fields), {}};
    // By proc(5), of which the first two fields are left out here.
    const auto number = [&field](size_t n) {
      return n - 3 < field.size() ? std::strtod(field[n - 3].c_str(), nullptr) : 0.0;
    };
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    figures.cpu_seconds = (number(14) + number(15)) / ticks;
    figures.threads = static_cast<uint64_t>(number(20));
    figures.start_time_seconds = BootTime() + number(22) / ticks;
    figures.virtual_bytes = number(23);
    figures.resident_bytes = number(24) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  }
  std::error_code error;
  std::filesystem::directory_iterator descriptors("/proc/self/fd", error);
  while (!error && descriptors != std::filesystem::directory_iterator()) {
    ++figures.descriptors;
    descriptors.increment(error);
  }
  figures.descriptors -= std::min<uint64_t>(1, figures.descriptors);  // that of the listing
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.descriptors_max = limit.rlim_cur;
  return figures;
}

const std::vector<Metric<ProcessFigures>>& ProcessMetrics() {
  using Figures = ProcessFigures;
  static const std::vector<Metric<Figures>>* const kMetrics = new std::vector<Metric<Figures>>{
      {{"process_cpu_seconds_total", Type::kCounter, "Time of the processors that was used"},
       [](const Figures& f, Values* v) { v->Add(f.cpu_seconds); }},
      {{"process_resident_memory_bytes", Type::kGauge, "Memory that is resident"},
       [](const Figures& f, Values* v) { v->Add(f.resident_bytes); }},
      {{"process_virtual_memory_bytes", Type::kGauge, "Memory that is mapped"},
       [](const Figures& f, Values* v) { v->Add(f.virtual_bytes); }},
      {{"process_start_time_seconds", Type::kGauge, "When the process began, by the Unix epoch"},
       [](const Figures& f, Values* v) { v->Add(f.start_time_seconds); }},
      {{"process_open_fds", Type::kGauge, "Descriptors of files and connections that are open"},
       [](const Figures& f, Values* v) { v->Add(static_cast<double>(f.descriptors)); }},
      {{"process_max_fds", Type::kGauge, "Descriptors that the process may open"},
       [](const Figures& f, Values* v) { v->Add(static_cast<double>(f.descriptors_max)); }},
      {{"process_threads", Type::kGauge, "Threads of the process"},
       [](const Figures& f, Values* v) { v->Add(static_cast<double>(f.threads)); }},
  };
  return *kMetrics;
}

}  // namespace cairn::metrics
