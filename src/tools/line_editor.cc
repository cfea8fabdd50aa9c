#include "tools/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cwchar>

#include "tools/completion.h"

namespace cairn::tools {
namespace {

constexpr int kHistoryLines = 1000;

class EditLineEditor final : public LineEditor {
 public:
  EditLineEditor(StopSignals* signals, std::string history_path)
      : signals_(signals), history_path_(std::move(history_path)) {
    // libedit decodes what is typed by the locale; without one that knows UTF-8, take C.UTF-8.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    edit_ = el_init("cairn", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    history(history_, &event, H_LOAD, history_path_.c_str());
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_PROMPT, &EditLineEditor::Prompt);
    el_set(edit_, EL_GETCFN, &EditLineEditor::ReadCharacter);
    // On Ctrl-C the kernel sends the signal and then drops what is on its way to the screen. The
    // prompt that answers the signal can be part of it.
    el_set(edit_, EL_SETTY, "-d", "+noflsh", nullptr);
    el_set(edit_, EL_SETTY, "-x", "+noflsh", nullptr);
    el_set(edit_, EL_ADDFN, "cairn-complete", "Complete a word", &EditLineEditor::Complete);
    el_set(edit_, EL_BIND, "^I", "cairn-complete", nullptr);
    el_source(edit_, nullptr);
  }

  ~EditLineEditor() override {
    el_end(edit_);
    HistEvent event;
    // What was typed may hold secrets.
    const mode_t old = umask(0077);
    history(history_, &event, H_SAVE, history_path_.c_str());
    umask(old);
    history_end(history_);
  }

  Event Read(const std::string& prompt, std::string* line) override {
    prompt_ = prompt;
    stopped_by_ = 0;
    el_resize(edit_);
    int length = 0;
    const char* typed = el_gets(edit_, &length);
    if (typed == nullptr || length <= 0) {
      std::fputc('\n', stdout);
      if (stopped_by_ != SIGINT) return Event::kEnd;
      el_reset(edit_);
      return Event::kInterrupted;
    }
    line->assign(typed, static_cast<size_t>(length));
    while (!line->empty() && (line->back() == '\n' || line->back() == '\r')) line->pop_back();
    if (!line->empty()) {
      HistEvent event;
      history(history_, &event, H_ENTER, line->c_str());
    }
    return Event::kLine;
  }

  void CompleteBy(Words words) override { words_ = std::move(words); }

 private:
  static unsigned char Complete(EditLine* edit, int /*key*/) {
    EditLineEditor* const self = Self(edit);
    if (!self->words_) return CC_ERROR;
    const LineInfo* const info = el_line(edit);
    const std::string before(info->buffer, info->cursor);
    const Completion found = CompletionOf(before, self->words_);
    if (!found.insert.empty()) {
      return el_insertstr(edit, found.insert.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    }
    if (found.choices.size() < 2) return CC_REFRESH_BEEP;
    std::fputc('\n', stdout);
    for (const std::string& choice : found.choices) std::fprintf(stdout, "%s  ", choice.c_str());
    std::fputc('\n', stdout);
    return CC_REDISPLAY;
  }

  static EditLineEditor* Self(EditLine* edit) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return static_cast<EditLineEditor*>(self);
  }

  static char* Prompt(EditLine* edit) { return Self(edit)->prompt_.data(); }

  // One character from the terminal, or -1 when a signal comes first.
  static int ReadCharacter(EditLine* edit, wchar_t* out) {
    EditLineEditor* self = Self(edit);
    std::mbstate_t state{};
    while (true) {
      pollfd watched[] = {{STDIN_FILENO, POLLIN, 0}, {self->signals_->fd(), POLLIN, 0}};
      if (poll(watched, 2, -1) < 0 && errno != EINTR) return -1;
      if (watched[1].revents != 0) {
        self->stopped_by_ = self->signals_->Wait(std::chrono::milliseconds(0)).value_or(0);
        if (self->stopped_by_ != 0) return -1;
      }
      if (watched[0].revents == 0) continue;
      char byte = 0;
      const ssize_t n = read(STDIN_FILENO, &byte, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return static_cast<int>(n);
      // A Ctrl-D that came while the kernel still edited the line is turned into a NUL when the
      // editor takes the terminal over.
      if (byte == 0) byte = '\x04';
      const size_t used = std::mbrtowc(out, &byte, 1, &state);
      if (used == static_cast<size_t>(-2)) continue;
      if (used == static_cast<size_t>(-1)) *out = L'?', state = {};
      return 1;
    }
  }

  StopSignals* const signals_;
  const std::string history_path_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  std::string prompt_;
  Words words_;
  int stopped_by_ = 0;
};

}  // namespace

std::unique_ptr<LineEditor> LineEditor::New(StopSignals* signals, std::string history_path) {
  return std::make_unique<EditLineEditor>(signals, std::move(history_path));
}

}  // namespace cairn::tools
