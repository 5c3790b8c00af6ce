/* A network line between TUN devices: rate, drop-tail queue, delay, jitter, bursty loss, in each direction.
 *
 *   line CLIENT_NS/DEV SERVER_NS/DEV=ADDRESS [SERVER_NS/DEV=ADDRESS ...]
 *
 * The client's device carries what goes to and comes from all servers; a packet of the client's goes to the server whose
 * ADDRESS (IPv4) it names. Each server has a line of its own, and all of them share one access line before the client:
 *
 *   client <- access.down <- NUMBER.down <- server NUMBER        client -> access.up -> NUMBER.up -> server NUMBER
 *
 * Each of these is a stage: a queue that drops at its tail, then a delay that keeps the order. Stages are set by lines on
 * stdin, `STAGE KEY VALUE`, and a fresh one lets everything through at once:
 *
 *   rate BITS_A_SECOND (0: any)   queue BYTES    delay SECONDS    jitter SECONDS (uniform, 0 to this)
 *   loss SHARE                    run PACKETS (mean length of a run of lost packets, from 1)
 *   dead 0|1                      (nothing passes)
 *
 * `black NUMBER` drops from now on every packet of the TCP flows that the line of the server has seen so far, and
 * `forget NUMBER` forgets these flows. `stats` answers one line of JSON; `seed N` starts the random numbers anew.
 * Closing stdin ends the program.
 *
 * The loss is Gilbert's: in the bad state all is lost, and the state is drawn at each packet, so that the long-run share
 * is `loss` and the mean run is `run`. "ready" is printed once the devices are there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MTU 1500
#define SERVERS 16
#define FLOWS 65536 /* a power of two */
#define BATCH 64

typedef struct Packet {
    struct Packet *next;
    double release; /* seconds of the monotonic clock */
    int server, size;
    unsigned char bytes[MTU];
} Packet;

typedef struct {
    double rate, queue, delay, jitter, loss, run;
    int dead, is_bad;
    double last_departure, last_release;
    Packet *head, *tail;
    uint64_t packets, bytes, lost, overflowed, killed, waiting;
} Stage;

typedef struct {
    uint64_t key; /* 0: free */
    int is_black;
} Flow;

static Stage access_[2], line[SERVERS][2]; /* [0] up, to the server; [1] down, to the client */
static int client_fd, server_fd[SERVERS], servers;
static uint32_t address[SERVERS];
static Flow flows[SERVERS][FLOWS];
static Packet *spare;
static uint64_t random_state = 88172645463325252ull, write_failures;

static void die(const char *what) {
    fprintf(stderr, "line: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* xorshift64*, from 0 to 1. */
static double draw(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)((random_state * 2685821657736338717ull) >> 11) * 0x1p-53;
}

static int open_tun(char *name) {
    char path[256], *slash = strchr(name, '/');
    if (!slash) die("a device is NAMESPACE/DEVICE");
    *slash = 0;
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET)) die(name);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC); /* it belongs to the namespace it is opened in */
    if (fd < 0) die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(request.ifr_name, IFNAMSIZ, "%s", slash + 1);
    if (ioctl(fd, TUNSETIFF, &request)) die(slash + 1);
    close(ns);
    return fd;
}

static Packet *fresh(void) {
    Packet *packet = spare;
    if (packet)
        spare = packet->next;
    else if (!(packet = malloc(sizeof *packet)))
        die("no memory");
    return packet;
}

static void drop(Packet *packet) {
    packet->next = spare;
    spare = packet;
}

static int is_lost(Stage *stage) {
    if (stage->loss <= 0) return 0;
    double leave = 1 / stage->run, enter = stage->loss * leave / (1 - stage->loss);
    stage->is_bad = stage->is_bad ? draw() >= leave : draw() < enter;
    return stage->is_bad;
}

static void enter(Stage *stage, Packet *packet, double at) {
    if (stage->dead) {
        stage->killed++;
        drop(packet);
        return;
    }
    double begin = stage->last_departure > at ? stage->last_departure : at;
    if (stage->rate > 0) {
        if ((begin - at) * stage->rate / 8 + packet->size > stage->queue) {
            stage->overflowed++;
            drop(packet);
            return;
        }
        begin += packet->size * 8 / stage->rate;
    }
    stage->last_departure = begin;
    stage->packets++;
    stage->bytes += (uint64_t)packet->size;
    /* A packet that is lost has crossed the bottleneck: loss is farther on, on the long way. */
    if (is_lost(stage)) {
        stage->lost++;
        drop(packet);
        return;
    }
    packet->release = begin + stage->delay + stage->jitter * draw();
    if (packet->release < stage->last_release) packet->release = stage->last_release;
    stage->last_release = packet->release;
    packet->next = NULL;
    if (stage->head)
        stage->tail->next = packet;
    else
        stage->head = packet;
    stage->tail = packet;
    stage->waiting++;
}

/* True for a packet of a TCP flow that was made black; each flow is remembered by the client's port and the server's. */
static int is_black(int server, const unsigned char *packet, int size, int is_up) {
    int header = (packet[0] & 15) * 4;
    if (packet[0] >> 4 != 4 || packet[9] != 6 || size < header + 4) return 0;
    uint16_t source = (uint16_t)(packet[header] << 8 | packet[header + 1]);
    uint16_t target = (uint16_t)(packet[header + 2] << 8 | packet[header + 3]);
    uint64_t key = 1ull << 32 | (is_up ? (uint32_t)source << 16 | target : (uint32_t)target << 16 | source);
    for (uint64_t at = key * 11400714819323198485ull >> 48, tries = 0; tries < FLOWS; at = (at + 1) % FLOWS, tries++) {
        Flow *flow = &flows[server][at];
        if (!flow->key) flow->key = key;
        if (flow->key == key) return flow->is_black;
    }
    return 0;
}

static void take(int fd, int server, double at) {
    for (int count = 0; count < BATCH; count++) {
        Packet *packet = fresh();
        ssize_t size = read(fd, packet->bytes, MTU);
        if (size < 20) {
            drop(packet);
            return;
        }
        packet->size = (int)size;
        packet->server = server;
        if (server < 0) {
            uint32_t target;
            memcpy(&target, packet->bytes + 16, 4);
            for (int i = 0; i < servers; i++)
                if (address[i] == target) packet->server = i;
            if (packet->bytes[0] >> 4 != 4 || packet->server < 0 ||
                is_black(packet->server, packet->bytes, packet->size, 1))
                drop(packet);
            else
                enter(&access_[0], packet, at);
        } else if (packet->bytes[0] >> 4 != 4 || is_black(server, packet->bytes, packet->size, 0))
            drop(packet);
        else
            enter(&line[server][1], packet, at);
    }
}

static void give(int fd, Packet *packet) {
    if (write(fd, packet->bytes, (size_t)packet->size) != packet->size) write_failures++;
    drop(packet);
}

/* Let everything go on that is due; the time of the next one, 0 for none. */
static double release_due(Stage *stage, double at, int is_access, int is_down) {
    while (stage->head && stage->head->release <= at) {
        Packet *packet = stage->head;
        stage->head = packet->next;
        stage->waiting--;
        double due = packet->release;
        if (is_down)
            is_access ? give(client_fd, packet) : enter(&access_[1], packet, due);
        else
            is_access ? enter(&line[packet->server][0], packet, due) : give(server_fd[packet->server], packet);
    }
    return stage->head ? stage->head->release : 0;
}

static double advance(double at) {
    double next = 0, found[2 * SERVERS + 2];
    int count = 0;
    /* First what feeds other stages. */
    for (int i = 0; i < servers; i++) found[count++] = release_due(&line[i][1], at, 0, 1);
    found[count++] = release_due(&access_[0], at, 1, 0);
    found[count++] = release_due(&access_[1], at, 1, 1);
    for (int i = 0; i < servers; i++) found[count++] = release_due(&line[i][0], at, 0, 0);
    for (int i = 0; i < count; i++)
        if (found[i] > 0 && (next == 0 || found[i] < next)) next = found[i];
    return next;
}

static Stage *stage_of(const char *name) {
    const char *dot = strchr(name, '.');
    if (!dot) return NULL;
    int is_down = !strcmp(dot, ".down");
    if (!is_down && strcmp(dot, ".up")) return NULL;
    if (!strncmp(name, "access.", 7)) return &access_[is_down];
    int number = atoi(name);
    return number >= 0 && number < servers ? &line[number][is_down] : NULL;
}

static void tell(const char *name, int number, int is_down, const Stage *stage) {
    char who[16];
    if (!name) snprintf(who, sizeof who, "%d", number);
    const struct { const char *key; uint64_t value; } counts[] = {
        {"packets", stage->packets},       {"bytes", stage->bytes},   {"lost", stage->lost},
        {"overflowed", stage->overflowed}, {"killed", stage->killed}, {"waiting", stage->waiting}};
    printf("\"%s.%s\": {", name ? name : who, is_down ? "down" : "up");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", counts[i].key, (unsigned long long)counts[i].value);
    printf("}, ");
}

static void obey(char *text) {
    char name[64], key[32];
    double value;
    Stage *stage;
    if (!strcmp(text, "stats")) {
        printf("{");
        for (int down = 0; down < 2; down++) {
            tell("access", 0, down, &access_[down]);
            for (int i = 0; i < servers; i++) tell(NULL, i, down, &line[i][down]);
        }
        printf("\"write_failures\": %llu}\n", (unsigned long long)write_failures);
    } else if (sscanf(text, "black %lf", &value) == 1 && value >= 0 && value < servers) {
        for (int i = 0; i < FLOWS; i++) flows[(int)value][i].is_black = flows[(int)value][i].key != 0;
        printf("ok\n");
    } else if (sscanf(text, "forget %lf", &value) == 1 && value >= 0 && value < servers) {
        memset(flows[(int)value], 0, sizeof flows[(int)value]);
        printf("ok\n");
    } else if (sscanf(text, "seed %lf", &value) == 1) {
        random_state = 88172645463325252ull ^ ((uint64_t)value * 0x9E3779B97F4A7C15ull);
        for (int i = 0; i < 20; i++) draw();
        printf("ok\n");
    } else if (sscanf(text, "%63s %31s %lf", name, key, &value) == 3 && (stage = stage_of(name))) {
        double *field = !strcmp(key, "rate")     ? &stage->rate
                        : !strcmp(key, "queue")  ? &stage->queue
                        : !strcmp(key, "delay")  ? &stage->delay
                        : !strcmp(key, "jitter") ? &stage->jitter
                        : !strcmp(key, "loss")   ? &stage->loss
                        : !strcmp(key, "run")    ? &stage->run
                                                 : NULL;
        if (field)
            *field = value;
        else if (!strcmp(key, "dead"))
            stage->dead = value != 0;
        printf(field || !strcmp(key, "dead") ? "ok\n" : "unknown: %s\n", text);
    } else
        printf("unknown: %s\n", text);
    fflush(stdout);
}

int main(int count, char **words) {
    if (count < 3 || count > SERVERS + 2) {
        fprintf(stderr, "usage: line CLIENT_NS/DEV SERVER_NS/DEV=ADDRESS ...\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    setpriority(PRIO_PROCESS, 0, -20); /* a line does not wait for who computes beside it */
    client_fd = open_tun(words[1]);
    for (int i = 2; i < count; i++) {
        char *equals = strchr(words[i], '=');
        if (!equals || inet_pton(AF_INET, equals + 1, &address[servers]) != 1) die("a server is NS/DEV=ADDRESS");
        *equals = 0;
        server_fd[servers++] = open_tun(words[i]);
    }
    for (int i = 0; i <= SERVERS; i++)
        for (int down = 0; down < 2; down++) {
            Stage *stage = i == SERVERS ? &access_[down] : &line[i][down];
            stage->queue = 1e9;
            stage->run = 1;
        }
    printf("ready\n");
    fflush(stdout);

    struct pollfd polled[SERVERS + 2] = {{.fd = 0, .events = POLLIN}, {.fd = client_fd, .events = POLLIN}};
    for (int i = 0; i < servers; i++) polled[i + 2] = (struct pollfd){.fd = server_fd[i], .events = POLLIN};
    char text[256];
    size_t held = 0;
    for (;;) {
        double next = advance(now()), wait = next == 0 ? 1 : next - now();
        if (wait < 0) wait = 0;
        struct timespec timeout = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
        if (ppoll(polled, (nfds_t)servers + 2, &timeout, NULL) < 0 && errno != EINTR) die("ppoll");
        double at = now();
        if (polled[1].revents) take(client_fd, -1, at);
        for (int i = 0; i < servers; i++)
            if (polled[i + 2].revents) take(server_fd[i], i, at);
        if (polled[0].revents) {
            ssize_t got = read(0, text + held, sizeof text - held - 1);
            if (got <= 0) return 0;
            held += (size_t)got;
            text[held] = 0;
            for (char *end; (end = strchr(text, '\n'));) {
                *end = 0;
                obey(text);
                held -= (size_t)(end + 1 - text);
                memmove(text, end + 1, held + 1);
            }
        }
    }
}
