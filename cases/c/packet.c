/* Fills in the checksum of a UDP packet: a program of five functions that clang compiles for BPF.
 *
 * The frame is Ethernet II with an IPv4 packet in it. The Internet checksum (RFC 1071) of the IPv4
 * header must be right already; that of the UDP datagram, over its pseudo header, header and data
 * (RFC 768), is written into the frame.
 *
 * Nothing but loads, stores and arithmetic: no libc, no helpers, no data sections.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define function static __attribute__((noinline))

enum {
  ETHERNET_TYPE = 12, /* offsets from the start of the frame */
  IPV4 = 14,

  IPV4_TOTAL_LENGTH = 2, /* offsets from the start of the IPv4 header */
  IPV4_PROTOCOL = 9,
  IPV4_ADDRESSES = 12,

  UDP_LENGTH = 4, /* offsets from the start of the UDP header */
  UDP_CHECKSUM = 6,
  UDP_HEADER = 8,

  TYPE_IPV4 = 0x0800,
  PROTOCOL_UDP = 17,
};

/* What is wrong with the frame: the program returns one of these, negated. */
enum { NOT_IPV4 = 1, BAD_LENGTH, BAD_CHECKSUM, NOT_UDP };

function u32 load16(const u8 *bytes) { return (u32)bytes[0] << 8 | bytes[1]; }

/* `sum` and the 16-bit words of `bytes`; an odd byte at the end counts as the upper half of one. */
function u64 add_words(const u8 *bytes, u64 length, u64 sum) {
  while (length >= 2) {
    sum += load16(bytes);
    bytes += 2;
    length -= 2;
  }
  return length != 0 ? sum + ((u64)bytes[0] << 8) : sum;
}

/* The one's complement of the one's complement sum. */
function u64 checksum(u64 sum) {
  while (sum >> 16 != 0) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return ~sum & 0xffff;
}

/* The length of the IPv4 header in bytes, or what is wrong, negated. */
function long long ipv4_header(const u8 *frame, u64 length) {
  if (length < IPV4 + 20 || load16(frame + ETHERNET_TYPE) != TYPE_IPV4 || frame[IPV4] >> 4 != 4) {
    return -NOT_IPV4;
  }
  const u64 header = (u64)(frame[IPV4] & 15) * 4;
  const u64 total = load16(frame + IPV4 + IPV4_TOTAL_LENGTH);
  if (header < 20 || total < header || total > length - IPV4) {
    return -BAD_LENGTH;
  }
  return checksum(add_words(frame + IPV4, header, 0)) == 0 ? (long long)header : -BAD_CHECKSUM;
}

/* The length of the UDP data in the upper half and its checksum in the lower, or an error. */
long long packet(u8 *frame, u64 length) {
  const long long header = ipv4_header(frame, length);
  if (header < 0) {
    return header;
  }
  u8 *const ipv4 = frame + IPV4;
  u8 *const udp = ipv4 + header;
  const u64 udp_length = load16(ipv4 + IPV4_TOTAL_LENGTH) - (u64)header;
  if (ipv4[IPV4_PROTOCOL] != PROTOCOL_UDP) {
    return -NOT_UDP;
  }
  if (udp_length < UDP_HEADER || load16(udp + UDP_LENGTH) != udp_length) {
    return -BAD_LENGTH;
  }
  udp[UDP_CHECKSUM] = 0;
  udp[UDP_CHECKSUM + 1] = 0;
  const u64 pseudo_header = add_words(ipv4 + IPV4_ADDRESSES, 8, PROTOCOL_UDP + udp_length);
  const u64 sum = checksum(add_words(udp, udp_length, pseudo_header));
  udp[UDP_CHECKSUM] = (u8)(sum >> 8);
  udp[UDP_CHECKSUM + 1] = (u8)sum;
  return (long long)((udp_length - UDP_HEADER) << 32 | sum);
}
