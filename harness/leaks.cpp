// What LeakSanitizer need not tell of: libvirt loses a string of glib's when it cannot connect.
extern "C" const char* __lsan_default_suppressions();

extern "C" const char* __lsan_default_suppressions() {
  return "leak:libglib-2.0.so\n";
}
