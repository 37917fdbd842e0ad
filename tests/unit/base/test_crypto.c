/* Known answers: FIPS 180-4, RFC 1321, RFC 4231, RFC 5869 (expand), RFC 8439. */
#include "base/crypto.h"

#include "base/base.h"
#include "unit/unit.h"

static void assert_hex(const void *octets, size_t n, const char *want)
{
        char mem[512];
        struct bl_sb b = BL_SB(mem);
        bl_sb_hex(&b, octets, n);
        assert_str(bl_sb_str(&b), want);
}

static struct bl_str from_hex(const char *hex, void *mem, size_t cap)
{
        int n = bl_hex_decode(bl_str_z(hex), mem, cap);
        assert_true(n >= 0);
        return bl_str_make(mem, (size_t)n);
}

static void digests(void **state)
{
        uint8_t out[32];
        const struct bl_str parts[] = {BL_STR("a"), {NULL, 0}, BL_STR("b"), BL_STR("c")};
        (void)state;
        bl_sha256(parts, 4, out); /* "abc", in parts */
        assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        bl_sha256(NULL, 0, out);
        assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        bl_md5(parts, 4, out);
        assert_hex(out, 16, "900150983cd24fb0d6963f7d28e17f72");
        bl_md5(NULL, 0, out);
        assert_hex(out, 16, "d41d8cd98f00b204e9800998ecf8427e");
}

static void macs(void **state)
{
        struct bl_mac_key key, copy;
        uint8_t out[32], long_key[131];
        (void)state;
        bl_mac_init(&key, BL_STR("Jefe")); /* RFC 4231 section 4.3 */
        copy = key;
        for (unsigned i = 0; i < 2; i++) { /* the key survives its use, and so does its copy */
                bl_mac(i ? &copy : &key, (const struct bl_str[]){BL_STR("what do ya want "), BL_STR("for nothing?")}, 2,
                       out);
                assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        }
        memset(long_key, 0xaa, sizeof(long_key)); /* section 4.7: longer than a block */
        bl_mac_init(&key, bl_str_make((char *)long_key, sizeof(long_key)));
        bl_mac(&key, (const struct bl_str[]){BL_STR("Test Using Larger Than Block-Size Key - Hash Key First")}, 1, out);
        assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void tags(void **state)
{
        struct bl_tag_key key, copy;
        uint8_t secret[16], text[40], out[16];
        (void)state;
        /* RFC 4493 section 4 */
        struct bl_str k = from_hex("2b7e151628aed2a6abf7158809cf4f3c", secret, 16);
        struct bl_str m =
                from_hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411", text, 40);
        assert_int_equal(k.n, 16);
        bl_tag_init(&key, secret);
        copy = key;
        bl_tag(&key, NULL, 0, out);
        assert_hex(out, 16, "bb1d6929e95937287fa37d129b756746");
        m.n = 16;
        bl_tag(&key, &m, 1, out);
        assert_hex(out, 16, "070a16b46b4d4144f79bdd9dd04a287c");
        for (size_t cut = 0; cut <= 40; cut++) { /* in parts, however they are cut; the copy is as good */
                const struct bl_str parts[] = {bl_str_make(m.p, cut), {NULL, 0}, bl_str_make(m.p + cut, 40 - cut)};
                bl_tag(&copy, parts, 3, out);
                assert_hex(out, 16, "dfa66747de9ae63030ca32611497c827");
        }
}

static void derives_keys(void **state)
{
        uint8_t prk[32], info[10], out[32], other[32];
        (void)state;
        /* RFC 5869 appendix A.1: the first 32 octets of OKM are its first block */
        struct bl_str secret = from_hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", prk, 32);
        bl_kdf(secret, from_hex("f0f1f2f3f4f5f6f7f8f9", info, 10), out);
        assert_hex(out, 32, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        bl_kdf(secret, BL_STR("path"), out);
        bl_kdf(secret, BL_STR("nonce"), other);
        assert_memory_not_equal(out, other, 32);
}

/* RFC 8439 section 2.8.2 */
static void aead_known_answer(void **state)
{
        uint8_t key[32], nonce[12], ad[12], out[256], back[256];
        const struct bl_str plain =
                BL_STR("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
                       "future, sunscreen would be it.");
        (void)state;
        from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key, 32);
        from_hex("070000004041424344454647", nonce, 12);
        struct bl_str aad = from_hex("50515253c0c1c2c3c4c5c6c7", ad, 12);
        bl_aead_seal(key, nonce, aad, plain, out);
        assert_memory_equal(out, nonce, 12);
        assert_hex(out + 12, 16, "d31a8d34648e60db7b86afbc53ef7ec2");
        assert_hex(out + 12 + plain.n, 16, "1ae10b594f09e26a7e902ecbd0600691");
        assert_int_equal(bl_aead_open(key, aad, bl_str_make((char *)out, plain.n + BL_AEAD_OVERHEAD), back), 0);
        assert_memory_equal(back, plain.p, plain.n);
}

static void aead_refuses_every_changed_octet(void **state)
{
        static const uint8_t zero[64];
        uint8_t key[32] = {1}, nonce[12] = {2}, sealed[64], out[64];
        const struct bl_str ad = BL_STR("edge"), plain = BL_STR("flow 42 of e1");
        const size_t n = plain.n + BL_AEAD_OVERHEAD;
        struct bl_str in = bl_str_make((char *)sealed, n);
        (void)state;
        bl_aead_seal(key, nonce, ad, plain, sealed);
        for (size_t i = 0; i < n; i++) {
                sealed[i] ^= 0x10;
                memset(out, 0xee, sizeof(out));
                assert_int_equal(bl_aead_open(key, ad, in, out), BL_EAUTH);
                assert_memory_equal(out, zero, plain.n);
                assert_int_equal(out[plain.n], 0xee);
                sealed[i] ^= 0x10;
        }
        assert_int_equal(bl_aead_open(key, BL_STR("edgf"), in, out), BL_EAUTH);
        assert_int_equal(bl_aead_open(key, BL_STR(""), in, out), BL_EAUTH);
        for (size_t len = 0; len < n; len++)
                assert_int_equal(bl_aead_open(key, ad, bl_str_make((char *)sealed, len), out),
                                 len < BL_AEAD_OVERHEAD ? BL_EMALFORMED : BL_EAUTH);
        key[31] ^= 1;
        assert_int_equal(bl_aead_open(key, ad, in, out), BL_EAUTH);
        key[31] ^= 1;
        assert_int_equal(bl_aead_open(key, ad, in, out), 0);
        assert_memory_equal(out, plain.p, plain.n);
}

static void seals_nothing(void **state)
{
        uint8_t key[32] = {1}, nonce[12] = {2}, sealed[BL_AEAD_OVERHEAD] = {0};
        (void)state;
        bl_aead_seal(key, nonce, (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0}, sealed);
        assert_int_equal(
                bl_aead_open(key, (struct bl_str){NULL, 0}, bl_str_make((char *)sealed, sizeof(sealed)), sealed), 0);
}

static void compares(void **state)
{
        (void)state;
        assert_true(bl_equal_ct("abc", "abc", 3));
        assert_false(bl_equal_ct("abc", "abd", 3));
        assert_false(bl_equal_ct("xbc", "abc", 3));
        assert_true(bl_equal_ct("x", "a", 0));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(digests),
                cmocka_unit_test(macs),
                cmocka_unit_test(tags),
                cmocka_unit_test(derives_keys),
                cmocka_unit_test(aead_known_answer),
                cmocka_unit_test(aead_refuses_every_changed_octet),
                cmocka_unit_test(seals_nothing),
                cmocka_unit_test(compares),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
